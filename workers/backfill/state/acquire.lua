-- Begin to drive.
-- KEYS  1 hash
-- ARGV  1 now in ms or '', 2 driver, 3 lease in ms
-- Returns {'none'} | {'held', driver, ms left} | {'ok', token}
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'none'}
end
local now = now_ms(ARGV[1])
local driver, till = unpack(redis.call('HMGET', KEYS[1], 'driver', 'until'))
local left = tonumber(till or '0') - now
if driver and driver ~= ARGV[2] and left > 0 then
  return {'held', driver, left}
end
redis.call('HSET', KEYS[1], 'driver', ARGV[2], 'until', now + tonumber(ARGV[3]))
return {'ok', redis.call('HINCRBY', KEYS[1], 'token', 1)}
