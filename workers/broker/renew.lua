#!lua flags=allow-oom
-- Say that the worker which holds these messages lives. A message that was settled or put back stays so.
-- KEYS  1 unacked index
-- ARGV  tags
local now = redis.call('TIME')
local score = string.format('%.6f', now[1] + now[2] / 1e6)
for _, tag in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], 'XX', score, tag)
end
