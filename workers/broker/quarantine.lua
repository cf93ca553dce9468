#!lua flags=allow-oom
-- Set a message aside that no worker can read.
-- KEYS  1 unacked hash, 2 unacked index, 3 list of malformed messages
-- ARGV  1 tag, 2 message
redis.call('LPUSH', KEYS[3], ARGV[2])
redis.call('LTRIM', KEYS[3], 0, 99)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
