#!lua flags=allow-oom
-- Store what came of one unit; the first outcome stands.
-- KEYS  1 job hash
-- ARGV  1 unit, 2 outcome, 3 state TTL in s
redis.call('HSETNX', KEYS[1], 'unit:' .. ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
