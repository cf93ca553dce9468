-- End the windows that are over.
-- KEYS  1 stream of events
-- ARGV  1 now in ms or '', 2 events kept, 3…5 limits of the outbox
-- Returns their events
local now = now_ms(ARGV[1])
local limits = {tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])}
local events = {}
-- So many at most, so that no other command waits long; the rest is left for the next time.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', now, 'LIMIT', 0, 100)) do
  local event = window_close(name, KEYS[1], ARGV[2], now, limits)
  if event then
    events[#events + 1] = event
  end
end
return events
