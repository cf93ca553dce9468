#!lua flags=allow-oom
-- Take the first job of a lane in hand, paused or not, without paying for it: whoever takes it ends it or moves it.
-- It is unacknowledged like one that a worker has fetched, so that it comes back if whoever took it dies.
-- KEYS  1 unacked hash, 2 unacked index, 3 list of malformed messages
-- ARGV  1 lane, 2 seconds of the clock or ''
-- Returns {message, tag, since} | {} (malformed, set aside) | nothing
local lane = lane_named(ARGV[1])
if redis.call('SISMEMBER', LANES .. 'all', lane.name) == 0 then
  return false
end
local job, message = lane_pop(lane)
lane_next(lane, 0)
if not job or string.sub(message, 1, 1) ~= '{' then
  set_aside(KEYS[3], message)
  return {}
end
register(KEYS[1], KEYS[2], lane.meter.queue, job.tag, with_since(message, job.since), clock(ARGV[2]))
return {message, job.tag, decimal(job.since)}
