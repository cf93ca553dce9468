#!lua flags=allow-oom
-- Store a result, and tell those who wait for it.
-- KEYS  1 result
-- ARGV  1 its text, 2 seconds that it is kept, 0 for ever
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
