-- An operator ended a job that was replayed, while it waited: its letter is dead again, and may be replayed once more.
-- ARGV  1 id, 2 how often it had been replayed when it was ended
local key, facts = DEAD .. 'job:' .. ARGV[1], letter_facts(ARGV[1])
local known = redis.call('HGET', key, 'replays')
if facts and known and tonumber(known) <= tonumber(ARGV[2]) then
  redis.call('HSET', key, 'replays', ARGV[2])
  redis.call('HDEL', key, 'replayed_at', 'claimed')
  letter_turn(ARGV[1], facts, 'dead')
end
return 1
