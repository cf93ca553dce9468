-- Note that a letter was replayed, or that nothing came of the wish to replay it.
-- ARGV  1 id, 2 how often it had been replayed, 3 'replayed' | 'left', 4 now in s
-- Returns 1, or 0 when the letter is gone or the job has ended anew meanwhile
local key, facts = DEAD .. 'job:' .. ARGV[1], letter_facts(ARGV[1])
if not facts or redis.call('HGET', key, 'replays') ~= ARGV[2] then
  return 0
end
redis.call('HDEL', key, 'claimed')
if ARGV[3] == 'replayed' then
  redis.call('HSET', key, 'replayed_at', ARGV[4])
  letter_turn(ARGV[1], facts, 'replayed')
end
return 1
