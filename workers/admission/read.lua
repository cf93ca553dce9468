#!lua flags=allow-oom
-- A meter as it stands.
-- KEYS  1 state, 2 leases, 3 held, then counters of spend
-- ARGV  1 now or '' (as in admit.lua)
-- Returns {now, fields, buckets, share, in flight, reserved, spends}: fields {name, value, …}; buckets {level, amount,
--       size, refill per second, …}; reserved {requests, input, output, pico-USD}; all numbers as text
local keys = {state = KEYS[1], leases = KEYS[2], held = KEYS[3]}
local meter = bucket_load(keys, bucket_now(ARGV[1]), true)
local fields, buckets, spends = {}, {}, {}
for _, field in ipairs(BUCKET_FIELDS) do
  if meter[field] then
    fields[#fields + 1] = field
    fields[#fields + 1] = type(meter[field]) == 'number' and bucket_number(meter[field]) or meter[field]
  end
end
for _, bucket in ipairs(meter.buckets) do
  for _, value in ipairs({bucket.level, bucket_number(bucket.amount), bucket_number(bucket.size),
    bucket_number(bucket.refill)}) do
    buckets[#buckets + 1] = value
  end
end
local reserved = {requests = 0, input = 0, output = 0, spend = 0}
for _, record in ipairs(redis.call('HVALS', keys.held)) do
  local taken = bucket_decode(record)
  for name, sum in pairs(reserved) do
    reserved[name] = sum + taken[name]
  end
end
for position = 4, #KEYS do
  spends[#spends + 1] = redis.call('HGET', KEYS[position], 'spent') or '0'
end
return {bucket_number(meter.now), fields, buckets, bucket_number(bucket_share(meter, meter.now)),
  bucket_number(redis.call('ZCARD', keys.leases)), {bucket_number(reserved.requests), bucket_number(reserved.input),
  bucket_number(reserved.output), bucket_number(reserved.spend)}, spends}
