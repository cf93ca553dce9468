-- The breaker of a meter. closed ─(too many failures, or a fatal one)─► open ─(time)─► half-open: one probe ─► closed,
-- with a ramp, or open again for longer. Uses bucket.lua.

-- Observations of the last half to whole minute that are enough to judge, and the share that may fail.
local BREAKER_SLOT = 30
local BREAKER_LEAST = 5
local BREAKER_SHARE = 0.5
-- Seconds that it stays open at first; each time in a row twice as long.
local BREAKER_OPEN = {failing = 5, fatal = 60}
local BREAKER_LONGEST = 300
-- Seconds of health after which an earlier opening is forgotten.
local BREAKER_FORGET = 60
-- After closing: share of the refill and of each bucket to begin with, and what the share grows by per second.
local BREAKER_RAMP = {share = 0.2, rate = 0.05}

local function breaker_open(meter, health, code)
  if meter.breaker ~= 'half_open' and (meter.closed_at or 0) + BREAKER_FORGET < meter.now then
    bucket_set(meter, 'trips', 0)
  end
  local seconds = math.min(BREAKER_LONGEST, BREAKER_OPEN[health] * 2 ^ (meter.trips or 0))
  bucket_set(meter, 'trips', math.min(10, (meter.trips or 0) + 1))
  bucket_set(meter, 'breaker', 'open')
  bucket_set(meter, 'breaker_since', meter.now)
  bucket_set(meter, 'breaker_until', meter.now + seconds)
  bucket_set(meter, 'breaker_code', code)
  return {'breaker_opened', code, bucket_number(seconds)}
end

local function breaker_close(meter)
  for _, field in ipairs({'breaker', 'breaker_until', 'breaker_code', 'probe', 'slot', 'good', 'bad', 'good_before',
    'bad_before'}) do
    bucket_set(meter, field, nil)
  end
  bucket_set(meter, 'breaker_since', meter.now)
  bucket_set(meter, 'closed_at', meter.now)
  bucket_set(meter, 'share', math.min(BREAKER_RAMP.share, bucket_share(meter, meter.now)))
  bucket_set(meter, 'share_at', meter.now)
  bucket_set(meter, 'share_rate', BREAKER_RAMP.rate)
  for _, bucket in ipairs(meter.buckets) do
    bucket.amount = math.min(bucket.amount, bucket.size * BREAKER_RAMP.share)
  end
  return {'breaker_closed'}
end

local function breaker_count(meter, failed)
  local slot = math.floor(meter.now / BREAKER_SLOT)
  if meter.slot ~= slot then
    local follows = meter.slot == slot - 1
    bucket_set(meter, 'good_before', follows and meter.good or 0)
    bucket_set(meter, 'bad_before', follows and meter.bad or 0)
    bucket_set(meter, 'good', 0)
    bucket_set(meter, 'bad', 0)
    bucket_set(meter, 'slot', slot)
  end
  local field = failed and 'bad' or 'good'
  bucket_set(meter, field, meter[field] + 1)
end

-- What an answer says of the connection. `probe`: it was the probe's. Returns an event or nil.
local function breaker_observe(meter, health, code, probe)
  if health == 'none' then
    return nil
  elseif meter.breaker == 'half_open' then
    -- Others were called before it opened; what they say is old.
    if not probe then
      return nil
    end
    return health == 'ok' and breaker_close(meter) or breaker_open(meter, health, code)
  elseif meter.breaker == 'open' then
    return nil
  elseif health == 'fatal' then
    return breaker_open(meter, health, code)
  end
  breaker_count(meter, health == 'failing')
  local bad = meter.bad + meter.bad_before
  local all = bad + meter.good + meter.good_before
  if health == 'failing' and all >= BREAKER_LEAST and bad > all * BREAKER_SHARE then
    return breaker_open(meter, health, code)
  end
  return nil
end
