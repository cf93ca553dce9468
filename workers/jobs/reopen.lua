-- Open a job that ended without success for its next replay; what it has paid for stays, or is put back.
-- KEYS  1 job hash
-- ARGV  1 how often it had been replayed at its end, 2 TTL in s, then field and value of what was kept of it
-- Returns 'opened' | 'open' (for this replay already) | 'ended' (this replay has been) | 'succeeded'
local ending, whole, replays = unpack(redis.call('HMGET', KEYS[1], 'ending', 'whole', 'replays'))
if ending and whole == '1' then
  return 'succeeded'
end
if tonumber(replays or '0') > tonumber(ARGV[1]) then
  return ending and 'ended' or 'open'
end
redis.call('HDEL', KEYS[1], 'ending', 'whole', 'route', 'hop')
for position = 3, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[position], ARGV[position + 1])
end
redis.call('HSET', KEYS[1], 'replays', ARGV[1] + 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'opened'
