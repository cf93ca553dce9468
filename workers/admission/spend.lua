-- Counters of spend, one per project or connection and calendar period: a hash of `spent` (pico-USD, reservations
-- included) and `told` (cap and percent of it that was last told of).
-- Terms of counters are one text, four words for each in turn: cap in pico-USD or '-', end of its period (seconds since
-- 1970), seconds to keep it, 'fail' when jobs are to fail at the cap or 'wait'.

local function spend_terms(count, text)
  local terms = {}
  if count > 0 then
    for cap, ends, kept, mode in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+)') do
      terms[#terms + 1] = {cap = tonumber(cap), name = cap, ends = tonumber(ends), kept = kept, fails = mode == 'fail'}
    end
  end
  return terms
end

-- Whether a cap has no room for an amount.
local function spend_lacks(key, cap, amount)
  local spent = tonumber(redis.call('HGET', key, 'spent') or '0')
  return spent + amount > cap or spent >= cap
end

-- Add an amount, which may be negative; a counter goes some time after its period. Returns the sum.
local function spend_add(key, term, amount)
  local sum = redis.call('HINCRBY', key, 'spent', string.format('%.0f', amount))
  if sum == amount then
    redis.call('EXPIRE', key, term.kept) -- it was not there before
  end
  return sum
end

-- Whether to tell of a percentage of a cap: once in each period, and anew for another cap.
local function spend_told(key, term, percent)
  local known, reached = string.match(redis.call('HGET', key, 'told') or '', '^(%S+) (%S+)$')
  if known == term.name and tonumber(reached) >= percent then
    return false
  end
  redis.call('HSET', key, 'told', term.name .. ' ' .. percent)
  redis.call('EXPIRE', key, term.kept)
  return true
end
