-- The limits that are declared for a meter, as one text: capacity and refill per second of tokens, of output tokens and
-- of requests, and calls in flight; '-' where there is none. Uses bucket.lua.

-- Seconds in which workers may still believe in limits that were replaced by a push.
local DECLARED_STALE = 60

local DECLARED_FIELDS = {'tpm_capacity', 'tpm_refill', 'output_tpm_capacity', 'output_tpm_refill', 'rpm_capacity',
  'rpm_refill', 'max_concurrency'}

local function declared_write(keys, now, declared)
  -- Until now the old limits held.
  local meter = bucket_load(keys, now)
  local position = 0
  for value in string.gmatch(declared, '%S+') do
    position = position + 1
    bucket_set(meter, DECLARED_FIELDS[position], tonumber(value))
  end
  bucket_save(keys, meter)
  redis.call('HSET', keys.state, 'declared', declared)
  for _, kind in ipairs(BUCKETS) do
    if not meter[kind.capacity] then
      redis.call('HDEL', keys.state, kind.level)
    end
  end
  -- A bucket that is new starts full, but for what was taken while it was not there.
  local renewed = bucket_load(keys, now)
  local records = redis.call('HVALS', keys.held)
  for _, bucket in ipairs(renewed.buckets) do
    if not meter[bucket.level] then
      for _, record in ipairs(records) do
        bucket.amount = bucket.amount - bucket_amount(renewed, bucket, bucket_decode(record))
      end
    end
  end
  bucket_save(keys, renewed)
end

-- What a caller says of the limits. One that has not heard yet of limits that were pushed is not believed.
local function declared_adopt(keys, now, declared)
  if redis.call('HGET', keys.state, 'declared') == declared then
    return
  end
  local said = redis.call('HMGET', keys.state, 'superseded', 'superseded_until')
  if said[1] and tonumber(said[2]) > now and string.find(said[1], declared .. '\n', 1, true) then
    return
  end
  declared_write(keys, now, declared)
end

-- New limits from whoever has just stored them.
local function declared_push(keys, now, declared)
  local known = redis.call('HMGET', keys.state, 'declared', 'superseded', 'superseded_until')
  if known[1] == declared then
    return
  end
  if known[1] then
    local earlier = known[2] and tonumber(known[3]) > now and known[2] or ''
    redis.call('HSET', keys.state, 'superseded', earlier .. known[1] .. '\n', 'superseded_until',
      bucket_number(now + DECLARED_STALE))
  end
  declared_write(keys, now, declared)
end
