#!lua flags=allow-oom
-- Put a fetched message back to the head of its lane, and let the lane wait.
-- KEYS  1 unacked hash, 2 unacked index
-- ARGV  1 tag, 2 lane, 3 label without the time, 4 connection, 5 seconds to wait, 6 reason, 7 seconds of the clock or ''
-- Returns 1 if it was put back, 0 if it was settled or put back already, or did not come from this lane's queue
local lane = lane_named(ARGV[2])
local entry = redis.call('HGET', KEYS[1], ARGV[1])
local rest = ', "", ' .. cjson.encode(lane.meter.queue) .. ']'
if not entry or string.sub(entry, 1, 1) ~= '[' or string.sub(entry, -#rest) ~= rest then
  return 0
end
local now = clock(ARGV[7])
local message, since = without_since(string.sub(entry, 2, -#rest - 1))
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
lane_push(lane, {
  since = since or now, rest = ARGV[3], message = message, connection = ARGV[4], back = 'head'
}, now)
lane_wait(lane, now + tonumber(ARGV[5]), ARGV[6], now)
return 1
