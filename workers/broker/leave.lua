#!lua flags=allow-oom
-- Forget messages of sessions that are done with, or set one aside, and let whoever comes next in their sessions go.
-- KEYS  1 unacked hash, 2 unacked index, 3 list that wakes a worker, 4 list of malformed messages
-- ARGV  1 seconds of the clock or '', 2 message to be set aside, or '', then tags
local now = clock(ARGV[1])
local follows = false
if ARGV[2] ~= '' then
  set_aside(KEYS[4], ARGV[2])
end
for position = 3, #ARGV do
  -- One that was put back meanwhile is not done with.
  if redis.call('HDEL', KEYS[1], ARGV[position]) == 1 then
    redis.call('ZREM', KEYS[2], ARGV[position])
    follows = session_leave(ARGV[position], now) or follows
  end
end
if follows then
  redis.call('LPUSH', KEYS[3], '')
  redis.call('LTRIM', KEYS[3], 0, 0)
end
