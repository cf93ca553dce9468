#!lua flags=allow-oom
-- Take leave for one call: from the meter and from the budgets, all or none.
-- KEYS  1 state, 2 leases, 3 held, then up to four counters of spend
-- ARGV  1 now, or '' for the server's clock (a number in tests only, where time is the test's), 2 lease, 3 seconds of
--       the lease, 4 lease that it replaces or '', 5 declared limits, 6 input, 7 cap of the output, 8 '1' when the
--       vendor sets the whole cap aside, 9 pico-USD per input token, 10 per output token, 11 day of the counters (days
--       since 1970, UTC), 12 their terms (as in spend.lua)
-- Returns {'ok', input tokens, output tokens, pico-USD that were set aside}
--       | {'no', reason, seconds to wait, failure code or '-', '1' when it is final, counters (from 0) to be told of}
--       | {'clock', now}: the counters are not those of the server's day
local keys = {state = KEYS[1], leases = KEYS[2], held = KEYS[3]}
local now = bucket_now(ARGV[1])
if #KEYS > 3 and math.floor(now / 86400) ~= tonumber(ARGV[11]) then
  return {'clock', bucket_number(now)}
end
declared_adopt(keys, now, ARGV[5])
local lease = {name = ARGV[2], seconds = tonumber(ARGV[3]), kind = 'call', replaces = ARGV[4] ~= '' and ARGV[4] or nil}
local demand = {input = tonumber(ARGV[6]), output = tonumber(ARGV[7]), whole = ARGV[8] == '1', calls = 1}
local plan = bucket_plan(keys, now, demand, lease)
local taken = plan.taken
if plan.again then
  return {'ok', bucket_number(taken.input), bucket_number(taken.output), bucket_number(taken.spend)}
end
taken.spend = taken.input * tonumber(ARGV[9]) + taken.output * tonumber(ARGV[10])
local final, told = '', ''
local terms = spend_terms(#KEYS - 3, ARGV[12])
for position, term in ipairs(terms) do
  local key = KEYS[3 + position]
  if term.cap and spend_lacks(key, term.cap, taken.spend) then
    if plan.ok then
      plan.ok, plan.reason = false, 'budget'
    end
    plan.wait = math.max(plan.wait, term.ends - now)
    if plan.reason == 'budget' then
      if term.fails then
        final = '1'
      end
      if spend_told(key, term, 100) then
        told = told .. ' ' .. position - 1
      end
    end
  end
end
if not plan.ok then
  return {'no', plan.reason, bucket_number(plan.wait), plan.code, final, told}
end
for position, term in ipairs(terms) do
  spend_add(KEYS[3 + position], term, taken.spend)
end
bucket_commit(keys, plan, lease)
return {'ok', bucket_number(taken.input), bucket_number(taken.output), bucket_number(taken.spend)}
