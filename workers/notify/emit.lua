-- Keep an event, and hand it on to those who subscribe.
-- KEYS  1 stream of events, 2 marker of an event that must not be told twice
-- ARGV  1 now in ms or '', 2 id, 3 event as JSON, 4 project, 5 kind, 6 events kept, 7 '1' to hand it on,
--       8 seconds that the marker is kept, or 0 without one, 9…11 limits of the outbox
-- Returns 1, or 0 when it was told before
if ARGV[8] ~= '0' and not redis.call('SET', KEYS[2], '', 'NX', 'EX', ARGV[8]) then
  return 0
end
local fields = nil
if ARGV[7] == '1' then
  fields = {'project', ARGV[4], 'kind', ARGV[5], 'message', ARGV[2]}
end
local limits = {tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])}
event_emit(KEYS[1], ARGV[6], ARGV[2], ARGV[3], fields, now_ms(ARGV[1]), limits)
return 1
