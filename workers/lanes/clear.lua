#!lua flags=allow-oom
-- Throw away jobs of a lane, from the first on.
-- ARGV  1 lane, 2 at most so many, 3 seconds of the clock or ''
-- Returns how many
local lane = lane_named(ARGV[1])
if redis.call('SISMEMBER', LANES .. 'all', lane.name) == 0 then
  return 0
end
local now, gone = clock(ARGV[3]), 0
while gone < tonumber(ARGV[2]) and redis.call('EXISTS', lane.jobs) == 1 do
  local job = lane_pop(lane)
  if job then
    session_leave(job.tag, now)
  end
  gone = gone + 1
end
lane_next(lane, 0)
return gone
