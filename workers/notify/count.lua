-- Count one occurrence in its window; a window that is over is ended first.
-- KEYS  1 stream of events
-- ARGV  1 now in ms or '', 2 what it is about as JSON, 3 cause, 4 window in ms, 5 events kept, 6…8 limits of the outbox,
--       9 name of the window
-- Returns the event of the window that was ended, or ''
local now, name = now_ms(ARGV[1]), ARGV[9]
local key = WINDOWS .. name
local ended = ''
local ends = redis.call('HGET', key, 'ends')
if ends and now >= tonumber(ends) then
  local limits = {tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])}
  ended = window_close(name, KEYS[1], ARGV[5], now, limits) or ''
  ends = nil
end
if not ends then
  local closes = now + tonumber(ARGV[4])
  redis.call('HSET', key, 'about', ARGV[2], 'first', now, 'ends', closes)
  redis.call('ZADD', OPEN, closes, name)
end
redis.call('HINCRBY', key, 'count', 1)
redis.call('HINCRBY', key, 'cause:' .. ARGV[3], 1)
redis.call('HSET', key, 'last', now)
return ended
