-- Wind a backfill up: all that was taken in hand is done.
-- KEYS  1 hash, 2 jobs in flight, 3 endings, 4 their order, 5 where the keys of ids begin
-- ARGV  1 now in ms or '', 2 token, 3 how far the sink is written, 4 seconds that the report is kept
-- Returns 1, or 0 for one that may not drive any more
if not drives(KEYS[1], ARGV[2]) then
  return 0
end
local now = now_ms(ARGV[1])
redis.call('HSET', KEYS[1], 'sink', ARGV[3], 'ended', now)
if redis.call('HGET', KEYS[1], 'phase') ~= 'cancelled' then
  redis.call('HSET', KEYS[1], 'phase', 'completed', 'why', '', 'changed', now)
end
redis.call('HDEL', KEYS[1], 'driver', 'until')
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
for place = 0, 4095 do
  redis.call('UNLINK', KEYS[5] .. place)
end
return 1
