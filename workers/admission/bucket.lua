-- One meter: a credential and a model, as their vendor meters them. Functions for the scripts that take from it.
--
-- State is a hash, leases a sorted set of lease by the time it runs out, held a hash of lease to what it took.
-- bucket_take(keys, now, demand, lease) → ok, seconds to wait, reason, failure code or '-'
--   keys    {state =, leases =, held =}
--   now     seconds of the server's clock, with a fraction
--   demand  {input =, output = cap of the answer, calls =}; estimates, uncorrected. A cap of 0 is not known. `whole`:
--           the vendor sets the whole cap aside while the call is under way
--   lease   {name =, seconds =, kind = 'fetch' | 'call', replaces = name of a lease that this one takes the place of}
-- A refusal changes nothing but the passing of time; a lease that was to be replaced then stays as it is. A name that
-- is held already is granted again and takes nothing: the answer to its first asking was lost on the way.
-- bucket_refund(keys, now, name) → whether the lease was held; it is given back whole
--
-- Limits are read from the state; a state without limits admits everything.

-- Never used: what the network may shift between our taking and the vendor's counting.
local BUCKET_MARGIN = {share = 0.01, seconds = 0.25}
-- A microsecond's refill more or less is rounding, not lack.
local BUCKET_ROUNDING = 1e-6
-- Answers after which their average is trusted; before that the cap is set aside, or this many tokens without one.
local BUCKET_TRUSTED = 5
local BUCKET_UNKNOWN = 1000
-- Mean deviations above the average that are set aside, of the output and of the input's ratio.
local BUCKET_SAFETY = 2
-- What has to stay in a bucket of output when a call is let in, so that one answer may be far longer than others: so
-- many mean deviations, but no more than a share of the bucket. It is not taken, so that it serves all calls under way.
local BUCKET_CUSHION = {deviations = 10, share = 0.1}
-- Seconds after which to ask again where only an answer is waited for, which may come at any moment.
local BUCKET_ASK_AGAIN = 0.1
-- Expired leases that one call clears away at most.
local BUCKET_SWEEP = 100
-- Seconds that an unused meter is remembered.
local BUCKET_TTL = 2592000

-- In the order in which they are checked. `cost` is what of a lease counts in the bucket.
local BUCKETS = {
  {level = 'requests', capacity = 'rpm_capacity', refill = 'rpm_refill', seen = 'seen_requests', share = 0},
  {level = 'tokens', capacity = 'tpm_capacity', refill = 'tpm_refill', seen = 'seen_tokens',
    share = BUCKET_MARGIN.share},
  {level = 'output_tokens', capacity = 'output_tpm_capacity', refill = 'output_tpm_refill',
    seen = 'seen_output_tokens', share = BUCKET_MARGIN.share},
}
local BUCKET_REASONS = {requests = 'requests', tokens = 'tokens', output_tokens = 'tokens'}

-- The state: texts, numbers that taking looks at, and numbers that only answers and operators do.
local BUCKET_FIELDS = {
  'holds', 'breaker', 'breaker_code', 'probe',
  'at', 'max_concurrency', 'blocked_until', 'breaker_until',
  'rpm_capacity', 'rpm_refill', 'seen_requests', 'requests',
  'tpm_capacity', 'tpm_refill', 'seen_tokens', 'tokens',
  'output_tpm_capacity', 'output_tpm_refill', 'seen_output_tokens', 'output_tokens',
  'share', 'share_at', 'share_rate',
  'answers', 'average', 'deviation', 'ratio', 'spread',
  'error', 'cut_at', 'breaker_since', 'trips', 'closed_at', 'slot', 'good', 'bad', 'good_before', 'bad_before',
}
local BUCKET_TEXTS, BUCKET_TAKING = 4, 28

-- As text, with nothing rounded away.
local function bucket_number(number)
  return string.format('%.17g', number)
end

-- Seconds since 1970 by the server's clock, the only one that all workers share; a test may bring its own.
local function bucket_now(given)
  local time = redis.call('TIME')
  return tonumber(given) or time[1] + time[2] / 1e6
end

-- What a lease took: when, requests, input and output tokens, input as it was estimated, pico-USD.
local function bucket_encode(taken)
  return string.format('%s %.17g %.17g %.17g %.17g %.17g %.17g', taken.kind, taken.at, taken.requests, taken.input,
    taken.output, taken.estimate, taken.spend)
end

local function bucket_decode(record)
  local kind, at, requests, input, output, estimate, spend =
    string.match(record, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  return {kind = kind, at = tonumber(at), requests = tonumber(requests), input = tonumber(input),
    output = tonumber(output), estimate = tonumber(estimate), spend = tonumber(spend)}
end

-- The amount that a number of requests, input and output tokens is in one bucket.
local function bucket_amount(meter, bucket, amounts)
  if bucket.level == 'requests' then
    return amounts.requests
  elseif bucket.level == 'output_tokens' then
    return amounts.output
  end
  return meter.apart and amounts.input or amounts.input + amounts.output
end

-- The share of the refill that was learned grows at a steady rate from what it was to 1. This is when it gets there.
local function bucket_whole_at(meter)
  return meter.share_at + (1 - meter.share) / meter.share_rate
end

local function bucket_share(meter, at)
  if not meter.share or at >= bucket_whole_at(meter) then
    return 1
  end
  return meter.share + meter.share_rate * (at - meter.share_at)
end

-- Seconds of full refill that a span of time brings.
local function bucket_seconds(meter, from, to)
  if not meter.share then
    return to - from
  end
  local whole = bucket_whole_at(meter)
  local seconds = math.max(0, to - math.max(from, whole))
  local ramp = math.min(to, whole)
  if from < ramp then
    local first = meter.share + meter.share_rate * (from - meter.share_at)
    local last = meter.share + meter.share_rate * (ramp - meter.share_at)
    seconds = seconds + (first + last) / 2 * (ramp - from)
  end
  return seconds
end

-- Time from now in which that many seconds of full refill come.
local function bucket_time(meter, seconds)
  if not meter.share then
    return seconds
  end
  local whole = bucket_whole_at(meter)
  local growing = bucket_seconds(meter, meter.now, math.max(meter.now, whole))
  if seconds >= growing then
    return math.max(0, whole - meter.now) + seconds - growing
  end
  local share = bucket_share(meter, meter.now)
  return (math.sqrt(share * share + 2 * meter.share_rate * seconds) - share) / meter.share_rate
end

-- What is used of a bucket: its size, and its refill per second.
local function bucket_limits(meter, kind)
  local capacity, refill, seen = meter[kind.capacity], meter[kind.refill], meter[kind.seen]
  if seen then
    capacity, refill = math.min(capacity, seen), math.min(refill, seen / 60)
  end
  return capacity - math.min(capacity / 2, math.max(capacity * kind.share, refill * BUCKET_MARGIN.seconds)), refill
end

-- Add to all levels, or take away; no level rises above its bucket's size.
local function bucket_add(meter, amounts)
  for _, bucket in ipairs(meter.buckets) do
    bucket.amount = math.min(bucket.size, bucket.amount + bucket_amount(meter, bucket, amounts))
  end
end

-- Change a field when the meter is saved; nil empties it.
local function bucket_set(meter, field, value)
  meter[field] = value
  meter.changes[field] = value or ''
end

local function bucket_remember(keys)
  for _, key in pairs(keys) do
    redis.call('EXPIRE', key, BUCKET_TTL)
  end
end

local function bucket_save(keys, meter)
  local fields = {'at', bucket_number(meter.now)}
  for _, bucket in ipairs(meter.buckets) do
    fields[#fields + 1] = bucket.level
    fields[#fields + 1] = bucket_number(bucket.amount)
  end
  for field, value in pairs(meter.changes) do
    fields[#fields + 1] = field
    fields[#fields + 1] = type(value) == 'number' and bucket_number(value) or value
  end
  redis.call('HSET', keys.state, unpack(fields))
  meter.changes = {}
  -- Once an hour is often enough.
  if math.floor((meter.at or 0) / 3600) ~= math.floor(meter.now / 3600) then
    bucket_remember(keys)
  end
end

-- Leases that ran out: their places are free. What was set aside at fetching comes back, for no call was made; a call
-- may have been counted by its vendor, so what it took stays taken.
local function bucket_sweep(keys, meter)
  local first = redis.call('ZRANGE', keys.leases, 0, 0, 'WITHSCORES')
  if not first[1] or tonumber(first[2]) > meter.now then
    meter.leased = first[1]
    return
  end
  local names = redis.call('ZRANGEBYSCORE', keys.leases, '-inf', bucket_number(meter.now), 'LIMIT', 0, BUCKET_SWEEP)
  for _, record in ipairs(redis.call('HMGET', keys.held, unpack(names))) do
    local taken = record and bucket_decode(record)
    if taken and taken.kind == 'fetch' then
      bucket_add(meter, taken)
    end
  end
  bucket_save(keys, meter)
  redis.call('ZREM', keys.leases, unpack(names))
  redis.call('HDEL', keys.held, unpack(names))
end

-- The meter as it is now: refilled, and without the leases that have run out. `whole`: with what taking does not need.
local function bucket_load(keys, now, whole)
  local values = redis.call('HMGET', keys.state, unpack(BUCKET_FIELDS, 1, whole and #BUCKET_FIELDS or BUCKET_TAKING))
  local meter = {changes = {}, buckets = {}}
  for position, field in ipairs(BUCKET_FIELDS) do
    if values[position] and values[position] ~= '' then
      meter[field] = position <= BUCKET_TEXTS and values[position] or tonumber(values[position])
    end
  end
  -- A clock that steps back counts as standing still.
  meter.now = math.max(now, meter.at or now)
  meter.apart = (meter.output_tpm_capacity or 0) > 0
  for _, kind in ipairs(BUCKETS) do
    if (meter[kind.capacity] or 0) > 0 then
      local bucket = {level = kind.level}
      bucket.size, bucket.refill = bucket_limits(meter, kind)
      local amount = meter[kind.level] or bucket.size
      local passed = bucket_seconds(meter, meter.at or meter.now, meter.now)
      bucket.amount = math.min(bucket.size, amount + bucket.refill * passed)
      meter.buckets[#meter.buckets + 1] = bucket
    end
  end
  bucket_sweep(keys, meter)
  return meter
end

-- What a demand is taken to cost, by what was learned of this meter.
local function bucket_costs(meter, demand)
  local output = BUCKET_UNKNOWN
  if (meter.answers or 0) >= BUCKET_TRUSTED then
    output = math.ceil(meter.average + BUCKET_SAFETY * meter.deviation)
  elseif demand.output > 0 then
    output = demand.output
  end
  if demand.output > 0 then
    output = demand.whole and demand.output or math.min(output, demand.output)
  end
  local ratio = (meter.ratio or 1) + BUCKET_SAFETY * (meter.spread or 0)
  return {requests = demand.calls, input = math.ceil(demand.input * ratio), output = output * demand.calls,
    estimate = demand.input}
end

local function bucket_cushion(meter, bucket)
  if bucket.level == 'requests' or meter.apart and bucket.level == 'tokens' then
    return 0
  end
  return math.min(bucket.size * BUCKET_CUSHION.share, BUCKET_CUSHION.deviations * (meter.deviation or 0))
end

-- What stands in the way beside the buckets: each by `short(seconds, reason, code)`. Returns whether the call is to be
-- the breaker's probe.
local function bucket_hindrances(keys, meter, lease, replaced, short)
  for reason, till, code in string.gmatch(meter.holds or '', '(%S+) (%S+) (%S+)\n') do
    if tonumber(till) > meter.now then
      short(tonumber(till) - meter.now, reason, code)
    end
  end
  if (meter.blocked_until or 0) > meter.now then
    short(meter.blocked_until - meter.now, 'retry_after')
  end
  local probing = false
  if meter.breaker == 'open' and meter.breaker_until > meter.now then
    short(meter.breaker_until - meter.now, 'breaker', meter.breaker_code)
  elseif meter.breaker == 'open' then
    probing = true
  elseif meter.breaker == 'half_open' then
    local till = meter.probe ~= lease.replaces and redis.call('ZSCORE', keys.leases, meter.probe)
    if till then
      -- Why it is left alone is an open question until the probe is answered.
      short(math.max(0, math.min(BUCKET_ASK_AGAIN, tonumber(till) - meter.now)), 'breaker')
    else
      probing = true
    end
  end
  if meter.max_concurrency and redis.call('ZCARD', keys.leases) - (replaced and 1 or 0) >= meter.max_concurrency then
    local first = redis.call('ZRANGE', keys.leases, 0, 0, 'WITHSCORES')
    short(math.max(0, math.min(BUCKET_ASK_AGAIN, tonumber(first[2]) - meter.now)), 'concurrency')
  end
  return probing
end

-- What would follow from a demand: {ok, wait, reason, code, meter, taken, …}. Nothing is taken yet.
local function bucket_plan(keys, now, demand, lease)
  local meter = bucket_load(keys, now)
  local held = redis.call('HMGET', keys.held, lease.name, lease.replaces or '')
  local plan = {ok = true, wait = 0, reason = '', code = '-', meter = meter}
  if held[1] then
    plan.taken, plan.again = bucket_decode(held[1]), true
    return plan
  end
  if held[2] then
    plan.replaced = bucket_decode(held[2])
    bucket_add(meter, plan.replaced)
  end
  local function short(seconds, reason, code)
    if plan.ok then
      plan.ok, plan.reason, plan.code = false, reason, code or '-'
    end
    plan.wait = math.max(plan.wait, seconds)
  end
  plan.probing = bucket_hindrances(keys, meter, lease, plan.replaced, short)
  plan.taken = bucket_costs(meter, demand)
  for _, bucket in ipairs(meter.buckets) do
    -- What is larger than the bucket has to wait until it is full, and leaves a debt.
    local needed = math.min(bucket.size, bucket_amount(meter, bucket, plan.taken) + bucket_cushion(meter, bucket))
    local lacking = (needed - bucket.amount) / bucket.refill
    if lacking > BUCKET_ROUNDING then
      short(bucket_time(meter, lacking), BUCKET_REASONS[bucket.level])
    end
  end
  return plan
end

local function bucket_commit(keys, plan, lease)
  local meter, taken = plan.meter, plan.taken
  taken.kind, taken.at, taken.spend = lease.kind, meter.now, taken.spend or 0
  bucket_add(meter, {requests = -taken.requests, input = -taken.input, output = -taken.output})
  if plan.probing then
    if meter.breaker ~= 'half_open' then
      bucket_set(meter, 'breaker', 'half_open')
      bucket_set(meter, 'breaker_since', meter.now)
    end
    bucket_set(meter, 'probe', lease.name)
  end
  bucket_save(keys, meter)
  redis.call('ZADD', keys.leases, bucket_number(meter.now + lease.seconds), lease.name)
  redis.call('HSET', keys.held, lease.name, bucket_encode(taken))
  if not meter.leased then
    -- They are new: nobody has said yet for how long they are kept.
    bucket_remember(keys)
  end
  if plan.replaced then
    redis.call('ZREM', keys.leases, lease.replaces)
    redis.call('HDEL', keys.held, lease.replaces)
  end
end

local function bucket_take(keys, now, demand, lease)
  local plan = bucket_plan(keys, now, demand, lease)
  if plan.ok and not plan.again then
    bucket_commit(keys, plan, lease)
  end
  return plan.ok, plan.wait, plan.reason, plan.code
end

-- Take a lease out of the books: the meter as it is now and what the lease took, or nothing when it is not held.
local function bucket_close(keys, now, name)
  local meter = bucket_load(keys, now, true)
  local record = redis.call('HGET', keys.held, name)
  if not record then
    return nil
  end
  redis.call('ZREM', keys.leases, name)
  redis.call('HDEL', keys.held, name)
  return meter, bucket_decode(record)
end

local function bucket_refund(keys, now, name)
  local meter, taken = bucket_close(keys, now, name)
  if not meter then
    return false
  end
  bucket_add(meter, taken)
  bucket_save(keys, meter)
  return true
end
