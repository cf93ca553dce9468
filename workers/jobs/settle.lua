-- Write the usage record of one attempt exactly once, and add it to the sums of its hour.
-- KEYS  1 job hash, 2 stream of usage records, 3 sums of the hour
-- ARGV  1 id of the call, 2 record as JSON, 3 state TTL in s, 4 sums TTL in s, 5 records kept, 6… field, increment, …
-- Returns 1 when the record is new, 0 when it was there already
if redis.call('HSETNX', KEYS[1], 'attempt:' .. ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
if tonumber(ARGV[5]) > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'record', ARGV[2])
end
for i = 6, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
