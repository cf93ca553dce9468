#!lua flags=allow-oom
-- Set an amount aside in budgets for a batch of calls, or put it right by what they cost; each counts once.
-- KEYS  1 what was set aside (a hash: `aside`, and `settled` when it was put right), then the counters of spend
-- ARGV  1 now or '' (as in admit.lua), 2 'aside' | 'settle', 3 pico-USD, 4 day of the counters (days since 1970, UTC),
--       5 their terms (as in spend.lua), 6 seconds to remember it
-- Returns {'ok', day of the counters, {counter (from 0), percent of its cap}, …} | {'no', seconds to wait, '1' when it is final, counters to be
--         told of} | {'clock', now}: the counters are not those of the server's day
local now, amount = bucket_now(ARGV[1]), tonumber(ARGV[3])
local terms = spend_terms(#KEYS - 1, ARGV[5])
local change = amount
if ARGV[2] == 'aside' then
  local day = redis.call('HGET', KEYS[1], 'day')
  if day then
    return {'ok', day}
  end
  if math.floor(now / 86400) ~= tonumber(ARGV[4]) then
    return {'clock', bucket_number(now)}
  end
  local wait, final, told = nil, '', ''
  for position, term in ipairs(terms) do
    if term.cap and spend_lacks(KEYS[1 + position], term.cap, amount) then
      wait = math.max(wait or 0, term.ends - now)
      final = term.fails and '1' or final
      if spend_told(KEYS[1 + position], term, 100) then
        told = told .. ' ' .. position - 1
      end
    end
  end
  if wait then
    return {'no', bucket_number(wait), final, told}
  end
  redis.call('HSET', KEYS[1], 'aside', ARGV[3], 'day', ARGV[4])
else
  local aside = redis.call('HGET', KEYS[1], 'aside')
  if not aside or redis.call('HSETNX', KEYS[1], 'settled', ARGV[3]) == 0 then
    return {'ok', ARGV[4]}
  end
  change = amount - tonumber(aside)
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
local reply = {'ok', ARGV[4]}
for position, term in ipairs(terms) do
  local key = KEYS[1 + position]
  local spent = spend_add(key, term, change)
  local percent = term.cap and (spent >= term.cap and 100 or spent >= term.cap * 0.8 and 80)
  if percent and spend_told(key, term, percent) then
    reply[#reply + 1] = {tostring(position - 1), tostring(percent)}
  end
end
return reply
