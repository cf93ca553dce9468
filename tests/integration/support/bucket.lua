-- A meter that tests can reckon with: a bucket of tokens that takes what a job says it needs, and refuses on request.
-- The same signature as workers/admission/bucket.lua.
local function bucket_take(keys, now, demand, lease)
  local refuse, wait, capacity, refill = unpack(
    redis.call('HMGET', keys.state, 'refuse', 'wait', 'tpm_capacity', 'tpm_refill'))
  if refuse then
    return false, tonumber(wait), refuse
  end
  if capacity then
    capacity, refill = tonumber(capacity), tonumber(refill)
    local level = tonumber(redis.call('HGET', keys.state, 'tokens') or capacity)
    level = math.min(capacity, level + refill * (now - tonumber(redis.call('HGET', keys.state, 'at') or now)))
    local cost = math.min(capacity, demand.input + demand.output)
    if level < cost then
      return false, (cost - level) / refill, 'tokens'
    end
    redis.call('HSET', keys.state, 'tokens', level - cost, 'at', now)
  end
  redis.call('ZADD', keys.leases, now + lease.seconds, lease.name)
  redis.call('HSET', keys.held, lease.name, lease.kind)
  return true, 0, ''
end
