#!lua flags=allow-oom
-- Note that a job is to wait for no batch any more.
-- KEYS  1 job hash
-- ARGV  1 seconds to keep it
redis.call('HSET', KEYS[1], 'batched', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
