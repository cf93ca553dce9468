#!lua flags=allow-oom
-- Store what came of one unit; the first outcome stands. What a worker brings that is late by the whole job is not kept.
-- KEYS  1 job hash
-- ARGV  1 unit, 2 outcome, 3 state TTL in s
if redis.call('HEXISTS', KEYS[1], 'ending') == 1 then
  return
end
redis.call('HSETNX', KEYS[1], 'unit:' .. ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
