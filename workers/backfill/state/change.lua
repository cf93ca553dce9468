-- Say what is wanted, from anywhere.
-- KEYS  1 hash
-- ARGV  1 now in ms or '', 2 phase, 3 why, 4 how many phases it may come from, 5… these, then field, value, …
-- Returns the phase before, or '' when there is no such backfill; nothing changes when it is not one of these
local phase = redis.call('HGET', KEYS[1], 'phase')
if not phase then
  return ''
end
local last = 4 + tonumber(ARGV[4])
for i = 5, last do
  if ARGV[i] == phase then
    redis.call('HSET', KEYS[1], 'phase', ARGV[2], 'why', ARGV[3], 'changed', now_ms(ARGV[1]), unpack(ARGV, last + 1))
    break
  end
end
return phase
