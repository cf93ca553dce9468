-- Note a new backfill down.
-- KEYS  1 hash, 2 names
-- ARGV  1 name, 2 now in s, 3… field, value, …
-- Returns 1, or 0 when the name is taken
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
