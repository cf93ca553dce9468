#!lua flags=allow-oom
-- Lay a job down without an ending, or write off a delivery that never did.
-- KEYS  1 job hash, 2 lease
-- ARGV  1 owner, 2 '1' when a call of it may not have been settled: then its mark stays
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
if ARGV[2] ~= '1' then
  redis.call('HDEL', KEYS[1], 'hand:' .. ARGV[1])
end
