-- Note what came of a delivery, unless its lease lapsed and another worker has it.
-- ARGV  1 now in ms or '', 2 id, 3 owner, 4 'delivered' | 'retry' | 'failed' | 'gone', 5 cause,
--       6 ms until the next try, 7 seconds that a delivered one is remembered, 8…10 limits
-- Returns 1, or 0 when it is not the owner's any more, or when its receiver was known to be gone
local now, id, verdict = now_ms(ARGV[1]), ARGV[2], ARGV[4]
local key = OUTBOX .. 'delivery:' .. id
if redis.call('HGET', key, 'owner') ~= ARGV[3] then
  return 0
end
local target, project = unpack(redis.call('HMGET', key, 'target', 'project'))
local noted = 1
local queue = OUTBOX .. 'queue:' .. target
redis.call('HDEL', key, 'owner')
redis.call('ZREM', OUTBOX .. 'held:' .. target, id)
if verdict == 'delivered' then
  redis.call('ZREM', queue, id)
  redis.call('HDEL', OUTBOX .. 'failing', target)
  -- What is left tells that it was delivered, so that putting it in again changes nothing.
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'delivered', 'ended', now)
  redis.call('EXPIRE', key, ARGV[7])
  -- An event that was handed on to those who subscribe has reached none of them yet.
  if target ~= 'events' then
    outbox_count(project, 'delivered')
  end
else
  redis.call('HINCRBY', OUTBOX .. 'failing', target, 1)
  if verdict == 'retry' then
    redis.call('ZADD', queue, now + tonumber(ARGV[6]), id)
    redis.call('HSET', key, 'cause', ARGV[5])
    outbox_count(project, 'retried')
  else
    redis.call('ZREM', queue, id)
    outbox_give_up(id, now, ARGV[5], {tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])})
  end
  if verdict == 'gone' then
    noted = redis.call('HSETNX', OUTBOX .. 'gone', target, ARGV[5])
  end
end
if redis.call('EXISTS', queue) == 1 then
  redis.call('ZADD', OUTBOX .. 'targets', now, target)
else
  redis.call('ZREM', OUTBOX .. 'targets', target)
  redis.call('HDEL', OUTBOX .. 'failing', target)
end
return noted
