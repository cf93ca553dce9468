-- Wind a backfill up: all that was taken in hand is done.
-- KEYS  1 hash, 2 jobs in flight, 3 endings, 4 their order, 5 where the keys of ids begin, 6 lines that are to be done
-- ARGV  1 now in ms or '', 2 token, 3 writes so far, 4 how far the sink is written, 5 seconds that the report is kept
-- Returns how many writes there were, or what `refused` says
local no = refused(KEYS[1], ARGV[2], ARGV[3])
if no then
  return no
end
local now = now_ms(ARGV[1])
redis.call('HSET', KEYS[1], 'sink', ARGV[4], 'ended', now)
if redis.call('HGET', KEYS[1], 'phase') ~= 'cancelled' then
  redis.call('HSET', KEYS[1], 'phase', 'completed', 'why', '', 'changed', now)
end
redis.call('HDEL', KEYS[1], 'driver', 'until')
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[6])
for place = 0, 4095 do
  redis.call('UNLINK', KEYS[5] .. place)
end
return written(KEYS[1])
