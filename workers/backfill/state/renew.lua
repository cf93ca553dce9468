-- Go on driving, and hear what is wanted; with a lease of 0, stop.
-- KEYS  1 hash
-- ARGV  1 now in ms or '', 2 token, 3 writes so far, 4 lease in ms
-- Returns {0} or {-1} as `refused` says, else {1, phase, why, budget, window, cluster}
local no = refused(KEYS[1], ARGV[2], ARGV[3])
if no == 0 or (no and ARGV[4] ~= '0') then
  return {no}
end
if ARGV[4] == '0' then
  redis.call('HDEL', KEYS[1], 'driver', 'until')
else
  redis.call('HSET', KEYS[1], 'until', now_ms(ARGV[1]) + tonumber(ARGV[4]))
end
return {1, unpack(redis.call('HMGET', KEYS[1], 'phase', 'why', 'budget', 'window', 'cluster'))}
