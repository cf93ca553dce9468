#!lua flags=allow-oom
-- Put one message back on its queues, unless it was settled or renewed since the caller looked.
-- KEYS  1 unacked hash, 2 unacked index, then queue keys
-- ARGV  1 tag, 2 message, 3 'head' (fetched next) | 'tail', 4 seconds without renewal, or '' for any
-- Returns 1 if it was put back
if ARGV[4] ~= '' then
  local now = redis.call('TIME')
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if not score or tonumber(score) > now[1] + now[2] / 1e6 - tonumber(ARGV[4]) then
    return 0
  end
end
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
for position = 3, #KEYS do
  redis.call(ARGV[3] == 'head' and 'RPUSH' or 'LPUSH', KEYS[position], ARGV[2])
end
return 1
