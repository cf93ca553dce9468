#!lua flags=allow-oom
-- Take a job out from behind its session, or put another entry in its place; unless it went to its lane meanwhile.
-- KEYS  none
-- ARGV  1 session, 2 entry, 3 entry to put in its place, or ''
-- Returns 1 if it was there
local key = BEHIND .. ARGV[1]
local lane = lane_named(string.match(ARGV[2], '^[^\n]*'))
if ARGV[3] ~= '' then
  if redis.call('LINSERT', key, 'BEFORE', ARGV[2], ARGV[3]) <= 0 then
    return 0
  end
  behind_count(lane_named(string.match(ARGV[3], '^[^\n]*')), 1)
end
if redis.call('LREM', key, 1, ARGV[2]) == 0 then
  return 0
end
session_took(ARGV[1], lane)
return 1
