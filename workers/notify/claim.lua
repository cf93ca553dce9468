-- Take deliveries that are due, each with a lease; those of one receiver only as far as it has room.
-- ARGV  1 now in ms or '', 2 owner, 3 lease in ms, 4 how many, 5 how many of one target may be held at once
-- Returns for each {target's reason not to send or '', field, value, …}
local now = now_ms(ARGV[1])
local lapses = now + tonumber(ARGV[3])
local left = tonumber(ARGV[4])
local claimed = {}
for _, target in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX .. 'targets', '-inf', now, 'LIMIT', 0, left)) do
  -- Those that were not served keep their place before those that were.
  if left == 0 then
    break
  end
  local queue, held = OUTBOX .. 'queue:' .. target, OUTBOX .. 'held:' .. target
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  -- A receiver that fails gets one at a time until it is well again: it must not hold the places of others.
  local failing = tonumber(redis.call('HGET', OUTBOX .. 'failing', target) or '0') > 0
  local room = (failing and 1 or tonumber(ARGV[5])) - redis.call('ZCARD', held)
  if room > 0 then
    local gone = redis.call('HGET', OUTBOX .. 'gone', target) or ''
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, math.min(room, left))) do
      local key = OUTBOX .. 'delivery:' .. id
      if redis.call('HEXISTS', key, 'body') == 0 then
        -- Somebody deleted it by hand.
        redis.call('ZREM', queue, id)
      else
        redis.call('HSET', key, 'owner', ARGV[2])
        redis.call('HINCRBY', key, 'tries', 1)
        redis.call('ZADD', queue, lapses, id)
        redis.call('ZADD', held, lapses, id)
        local delivery = redis.call('HGETALL', key)
        table.insert(delivery, 1, gone)
        claimed[#claimed + 1] = delivery
        room, left = room - 1, left - 1
      end
    end
  end
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if not first then
    redis.call('ZREM', OUTBOX .. 'targets', target)
  elseif room <= 0 then
    -- Looked at again as soon as one of those in hand is finished, or else when the first lease lapses.
    redis.call('ZADD', OUTBOX .. 'targets', redis.call('ZRANGE', held, 0, 0, 'WITHSCORES')[2] or now, target)
  else
    redis.call('ZADD', OUTBOX .. 'targets', math.max(tonumber(first), now), target)
  end
end
return claimed
