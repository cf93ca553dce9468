-- One meter: a credential and a model, as their vendor meters them. Functions for the scripts that take from it.
--
-- State is a hash, leases a sorted set of lease by the time it runs out, held a hash of lease to what it took.
-- bucket_take(keys, now, demand, lease) → ok, seconds to wait, reason
--   keys    {state =, leases =, held =}
--   now     seconds of the server's clock, with a fraction
--   demand  {input =, output = cap of the answer, calls =}; estimates, uncorrected
--   lease   {name =, seconds =, kind = 'fetch' | 'call', replaces = name of a lease that this one takes the place of}
-- A refusal changes nothing but the passing of time.
local function bucket_take(keys, now, demand, lease)
  local capacity = tonumber(redis.call('HGET', keys.state, 'tpm_capacity') or '0')
  if capacity == 0 then
    return true, 0, ''
  end
  local refill = tonumber(redis.call('HGET', keys.state, 'tpm_refill'))
  local level = tonumber(redis.call('HGET', keys.state, 'tokens') or tostring(capacity))
  local at = tonumber(redis.call('HGET', keys.state, 'at') or tostring(now))
  level = math.min(capacity, level + refill * math.max(0, now - at))
  local cost = math.min(capacity, demand.input + demand.output)
  if level < cost then
    return false, (cost - level) / refill, 'tokens'
  end
  redis.call('HSET', keys.state, 'tokens', level - cost, 'at', now)
  redis.call('ZADD', keys.leases, now + lease.seconds, lease.name)
  redis.call('HSET', keys.held, lease.name, cost)
  return true, 0, ''
end
