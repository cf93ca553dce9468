#!lua flags=allow-oom
-- Forget messages that are done with.
-- KEYS  1 unacked hash, 2 unacked index
-- ARGV  tags
for _, tag in ipairs(ARGV) do
  redis.call('HDEL', KEYS[1], tag)
  redis.call('ZREM', KEYS[2], tag)
end
