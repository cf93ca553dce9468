-- Counters of spend, one per project or connection and calendar period: a hash of `spent` (pico-USD, reservations
-- included) and `told` (cap and percent of it that was last told of).

-- Whether a cap has no room for an amount.
local function spend_lacks(key, cap, amount)
  local spent = tonumber(redis.call('HGET', key, 'spent') or '0')
  return spent + amount > cap or spent >= cap
end

-- Add an amount, which may be negative; a counter goes some time after its period. Returns the sum.
local function spend_add(key, amount, kept)
  local whole = string.format('%.0f', amount)
  local sum = redis.call('HINCRBY', key, 'spent', whole)
  if redis.call('TTL', key) < 0 then
    redis.call('EXPIRE', key, kept)
  end
  return sum
end

-- Whether to tell of a percentage of a cap: once in each period, and anew for another cap.
local function spend_told(key, cap, percent, kept)
  local known, reached = string.match(redis.call('HGET', key, 'told') or '', '^(%S+) (%S+)$')
  if known == cap and tonumber(reached) >= percent then
    return false
  end
  redis.call('HSET', key, 'told', cap .. ' ' .. percent)
  redis.call('EXPIRE', key, kept)
  return true
end
