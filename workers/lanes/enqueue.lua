#!lua
-- Put one job into its lane, opening that if nobody waits there, and wake a worker.
-- Unlike what takes jobs out, it is refused when the server is full.
-- KEYS  1 list that wakes a worker
-- ARGV  1 lane, 2 label without the time, 3 message, 4 connection, 5 weight or '', 6 seconds of the clock or ''
local now = clock(ARGV[6])
local lane = lane_named(ARGV[1])
if ARGV[5] ~= '' then
  if tonumber(ARGV[5]) == 1 then
    redis.call('HDEL', LANES .. 'weights', lane.project)
  else
    redis.call('HSET', LANES .. 'weights', lane.project, ARGV[5])
  end
end
lane_push(lane, {since = now, rest = ARGV[2], message = ARGV[3], connection = ARGV[4]}, now)
redis.call('LPUSH', KEYS[1], '')
redis.call('LTRIM', KEYS[1], 0, 0)
return 1
