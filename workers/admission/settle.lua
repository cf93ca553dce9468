#!lua flags=allow-oom
-- Settle a lease with what its call came to, or give it back; only the first time counts.
-- KEYS  1 state, 2 leases, 3 held, then the counters of spend that were taken from
-- ARGV  1 now or '' (as in admit.lua), 2 lease, 3 'settle' | 'refund', 4 '1' when the vendor counted the call, 5 input
--       as the vendor meters it, 6 output ('' both when it did not say), 7 pico-USD or '', 8 health, 9 failure code or
--       '-', 10 '1' when it was refused for its rate, 11 seconds to wait that the vendor asked for or '', 12… limit per
--       minute and what remained of it, or '', of requests, of tokens, of output tokens, 18 terms of the counters (as
--       in spend.lua)
-- Returns {'gone'} when the lease is not held any more | {'settled', event, …}; events are
--       {'breaker_opened', code, seconds} | {'breaker_closed'} | {'spent', counter (from 0), percent of its cap}
local keys = {state = KEYS[1], leases = KEYS[2], held = KEYS[3]}
local meter, taken = bucket_close(keys, bucket_now(ARGV[1]), ARGV[2])
if not meter then
  return {'gone'}
end
local reply = {'settled'}
local used, counted = ARGV[3] == 'settle', ARGV[4] == '1'
local input, output, cost = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local retry_after = tonumber(ARGV[11])
if not (used and counted) then
  bucket_add(meter, taken)
  cost = 0
elseif input then
  bucket_add(meter, {requests = 0, input = taken.input - input, output = taken.output - output})
  learn_usage(meter, taken, input, output)
end
if used then
  for position, bucket in ipairs(BUCKETS) do
    learn_ceiling(meter, taken, bucket, tonumber(ARGV[10 + 2 * position]), tonumber(ARGV[11 + 2 * position]))
  end
  if ARGV[10] == '1' then
    learn_refused(meter, taken, retry_after)
  elseif retry_after then
    learn_wait(meter, retry_after)
  end
  reply[#reply + 1] = breaker_observe(meter, ARGV[8], ARGV[9], meter.probe == ARGV[2])
end
bucket_save(keys, meter)
for position, term in ipairs(spend_terms(#KEYS - 3, ARGV[18])) do
  local key = KEYS[3 + position]
  local spent = spend_add(key, term, (cost or taken.spend) - taken.spend)
  local percent = term.cap and (spent >= term.cap and 100 or spent >= term.cap * 0.8 and 80)
  if percent and spend_told(key, term, percent) then
    reply[#reply + 1] = {'spent', tostring(position - 1), tostring(percent)}
  end
end
return reply
