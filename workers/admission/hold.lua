#!lua flags=allow-oom
-- What is said of a meter from outside.
-- KEYS  1 state, 2 leases, 3 held
-- ARGV  1 now or '' (as in admit.lua), 2 what, then
--       'hold', reason, seconds, failure code: nobody is admitted for so long
--       'let_go', reason: take that back
--       'declare', limits: they hold from now on
--       'release', lease: give it back whole
--       'trust': what kept calls away may be mended: nothing is held back, and the breaker closes
--       'reset': forget what was learned and held back; declared limits, levels and leases stay
-- Returns 1 when something was there to be let go or released, else 0
local HOLD_KEPT = {at = true, max_concurrency = true}
for _, bucket in ipairs(BUCKETS) do
  HOLD_KEPT[bucket.level], HOLD_KEPT[bucket.capacity], HOLD_KEPT[bucket.refill] = true, true, true
end
local keys = {state = KEYS[1], leases = KEYS[2], held = KEYS[3]}
local now = bucket_now(ARGV[1])
local what = ARGV[2]
if what == 'declare' then
  declared_push(keys, now, ARGV[3])
  return 0
elseif what == 'release' then
  return bucket_refund(keys, now, ARGV[3]) and 1 or 0
elseif what == 'reset' then
  local meter = bucket_load(keys, now, true)
  for _, field in ipairs(BUCKET_FIELDS) do
    if not HOLD_KEPT[field] then
      bucket_set(meter, field, nil)
    end
  end
  -- Should the clock have been far ahead, the meter goes on from now.
  meter.now = now
  bucket_save(keys, meter)
  return 0
end
local meter = bucket_load(keys, now, true)
if what == 'trust' then
  for _, field in ipairs({'holds', 'blocked_until', 'breaker', 'breaker_code', 'breaker_until', 'breaker_since', 'probe',
      'trips', 'slot', 'good', 'bad', 'good_before', 'bad_before'}) do
    bucket_set(meter, field, nil)
  end
  bucket_save(keys, meter)
  return 0
end
local holds, found = '', 0
for reason, till, code in string.gmatch(meter.holds or '', '(%S+) (%S+) (%S+)\n') do
  if reason == ARGV[3] then
    found = 1
  else
    holds = holds .. reason .. ' ' .. till .. ' ' .. code .. '\n'
  end
end
if what == 'hold' then
  holds = holds .. ARGV[3] .. ' ' .. bucket_number(meter.now + tonumber(ARGV[4])) .. ' ' .. ARGV[5] .. '\n'
end
bucket_set(meter, 'holds', holds ~= '' and holds or nil)
bucket_save(keys, meter)
return found
