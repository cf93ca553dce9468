-- Functions of the outbox, for scripts that put deliveries in or take them out.
--
-- byom:outbox:targets          target → when to look at its queue next, in ms
-- byom:outbox:queue:<target>   delivery → when it is due; while a worker holds it, when that lease lapses
-- byom:outbox:held:<target>    delivery → when its lease lapses
-- byom:outbox:delivery:<id>    what is to be sent where, and what came of it so far
-- byom:outbox:failed           delivery → when it was given up
-- byom:outbox:failing          target → failures since its last success
-- byom:outbox:gone             target → why nothing is sent there any more
-- byom:outbox:counts           ["project","outcome"] → how often
--
-- `limits` of these functions: {deliveries that may wait for one target, failed ones kept, seconds that they are kept}
local OUTBOX = 'byom:outbox:'

local function outbox_count(project, outcome)
  redis.call('HINCRBY', OUTBOX .. 'counts', cjson.encode({project, outcome}), 1)
end

local function outbox_give_up(id, now, cause, limits)
  local key = OUTBOX .. 'delivery:' .. id
  redis.call('HSET', key, 'state', 'failed', 'cause', cause, 'ended', now)
  redis.call('EXPIRE', key, limits[3])
  redis.call('ZADD', OUTBOX .. 'failed', now, id)
  redis.call('ZREMRANGEBYSCORE', OUTBOX .. 'failed', '-inf', now - limits[3] * 1000)
  local excess = redis.call('ZCARD', OUTBOX .. 'failed') - limits[2]
  if excess > 0 then
    for _, old in ipairs(redis.call('ZRANGE', OUTBOX .. 'failed', 0, excess - 1)) do
      redis.call('DEL', OUTBOX .. 'delivery:' .. old)
    end
    redis.call('ZREMRANGEBYRANK', OUTBOX .. 'failed', 0, excess - 1)
  end
  outbox_count(redis.call('HGET', key, 'project') or '', 'failed')
end

-- Put a delivery in, unless it is known or nothing is sent to its target any more.
-- `fields` is {name, value, …} with at least `project`. Returns 1 when it is new.
local function outbox_put(id, target, now, fields, limits)
  local key = OUTBOX .. 'delivery:' .. id
  if redis.call('EXISTS', key) == 1 then
    return 0
  end
  if redis.call('HEXISTS', OUTBOX .. 'gone', target) == 1 then
    return 0
  end
  redis.call('HSET', key, 'id', id, 'target', target, 'created', now, 'state', 'pending', 'tries', 0, unpack(fields))
  if redis.call('ZCARD', OUTBOX .. 'queue:' .. target) >= limits[1] then
    outbox_give_up(id, now, 'not tried: ' .. limits[1] .. ' deliveries wait for the same receiver already', limits)
    return 1
  end
  redis.call('ZADD', OUTBOX .. 'queue:' .. target, now, id)
  redis.call('ZADD', OUTBOX .. 'targets', 'LT', now, target)
  return 1
end

