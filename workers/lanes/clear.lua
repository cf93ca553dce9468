#!lua flags=allow-oom
-- Throw away jobs of a lane, from the first on.
-- ARGV  1 lane, 2 at most so many
-- Returns how many
local lane = lane_named(ARGV[1])
if redis.call('SISMEMBER', LANES .. 'all', lane.name) == 0 then
  return 0
end
local gone = 0
while gone < tonumber(ARGV[2]) and redis.call('EXISTS', lane.jobs) == 1 do
  lane_pop(lane)
  gone = gone + 1
end
lane_next(lane, 0)
return gone
