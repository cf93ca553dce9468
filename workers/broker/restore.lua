#!lua flags=allow-oom
-- Put one message back, to its lane or its queues, unless it was settled or renewed since the caller looked.
-- KEYS  1 unacked hash, 2 unacked index, then queue keys
-- ARGV  1 tag, 2 message, 3 'head' (fetched next) | 'tail', 4 seconds without renewal, or '' for any,
--       5 lane, or '' for the queues, 6 label without the time, 7 connection, 8 since when it waits, or '' for now,
--       9 seconds of the clock or ''
-- Returns 1 if it was put back
local now = clock(ARGV[9])
if ARGV[4] ~= '' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if not score or tonumber(score) > now - tonumber(ARGV[4]) then
    return 0
  end
end
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[5] ~= '' then
  lane_push(lane_named(ARGV[5]), {
    since = amount(ARGV[8]) or now, rest = ARGV[6], message = ARGV[2], connection = ARGV[7], back = ARGV[3]
  }, now)
  return 1
end
for position = 3, #KEYS do
  redis.call(ARGV[3] == 'head' and 'RPUSH' or 'LPUSH', KEYS[position], ARGV[2])
end
return 1
