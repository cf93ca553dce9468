-- Go on driving, and hear what is wanted; with a lease of 0, stop.
-- KEYS  1 hash
-- ARGV  1 now in ms or '', 2 token, 3 lease in ms
-- Returns {} for one that may not drive any more, else {phase, why, budget, window, cluster}
if not drives(KEYS[1], ARGV[2]) then
  return {}
end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], 'driver', 'until')
else
  redis.call('HSET', KEYS[1], 'until', now_ms(ARGV[1]) + tonumber(ARGV[3]))
end
return redis.call('HMGET', KEYS[1], 'phase', 'why', 'budget', 'window', 'cluster')
