-- Put a delivery that was given up back into the queue, with all its tries before it.
-- ARGV  1 now in ms or '', 2 id
-- Returns 1, or 0 when it is not among those given up
local now, id = now_ms(ARGV[1]), ARGV[2]
local key = OUTBOX .. 'delivery:' .. id
local target = redis.call('HGET', key, 'target')
if redis.call('ZREM', OUTBOX .. 'failed', id) == 0 or not target then
  return 0
end
redis.call('PERSIST', key)
redis.call('HSET', key, 'state', 'pending', 'tries', 0)
redis.call('HDEL', key, 'ended')
redis.call('ZADD', OUTBOX .. 'queue:' .. target, now, id)
redis.call('ZADD', OUTBOX .. 'targets', 'LT', now, target)
outbox_count(redis.call('HGET', key, 'project'), 'redelivered')
return 1
