-- Note a new backfill down.
-- KEYS  1 hash, 2 names, 3 lines that are to be done
-- ARGV  1 name, 2 now in s, 3 these lines as bits or '' for all, 4… field, value, …
-- Returns 1, or 0 when the name is taken
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[3], ARGV[3])
end
return 1
