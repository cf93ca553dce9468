#!lua flags=allow-oom
-- Look again at whether lanes are paused, or end their waits and those of their meters.
-- KEYS  1 list that wakes a worker
-- ARGV  1 'look' | 'wake', 2 only waits for this reason, or '', 3 seconds of the clock or '', then lanes
-- Returns how many waits ended
local now = clock(ARGV[3])
local ended = 0
local function concerns(key)
  return ARGV[2] == '' or redis.call('HGET', key, 'why') == ARGV[2]
end
for position = 4, #ARGV do
  local lane = lane_named(ARGV[position])
  local due = LANES .. 'due:' .. lane.meter.queue
  -- One that ended meanwhile is not to come back without jobs.
  if redis.call('SISMEMBER', LANES .. 'all', lane.name) == 1 then
    if ARGV[1] == 'look' then
      lane_go(lane, now)
    else
      if redis.call('ZSCORE', due, 'lane\t' .. lane.name) and concerns(lane.state) then
        lane_wake(lane, now)
        ended = ended + 1
      end
      if redis.call('ZSCORE', due, 'meter\t' .. lane.meter.name) and concerns(lane.meter.state) then
        meter_wake(lane.meter)
        ended = ended + 1
      end
    end
  end
end
redis.call('LPUSH', KEYS[1], '')
redis.call('LTRIM', KEYS[1], 0, 0)
return ended
