#!lua flags=allow-oom
-- Put a job back to the head of its lane, with all its messages.
-- KEYS  1 list that wakes a worker
-- ARGV  1 job, 2 the batch that it is in, or '' if it waits for one, 3 '1' when no call is left to make, so that its meter
--       need not pay, 4 seconds to keep its working state, 5 seconds of the clock or ''
-- Returns 1 if it was put back, 0 if it is not there any more, or in another batch
local id = ARGV[1]
local key, now = pool_job(id), clock(ARGV[5])
local found = redis.call('HMGET', key, 'line', 'batch', 'project')
if not found[1] or found[2] ~= ARGV[2] then
  return 0
end
local fields = redis.call('HGETALL', key)
redis.call('DEL', key)
redis.call('ZREM', ECONOMY .. 'waiting:' .. found[1], id)
pool_keep_state(id, ARGV[4])
for position = 1, #fields, 2 do
  if string.sub(fields[position], 1, 2) == 'm:' then
    local entry = pool_read(fields[position + 1])
    pool_count(found[3], -1)
    if entry.lane == '' then
      redis.call('RPUSH', entry.queue, entry.message)
    else
      local lane, rest = lane_named(entry.lane), entry.rest
      if ARGV[3] == '1' then
        rest = string.gsub(rest, '^%S+ %S+ %S+', '0 0 0')
      end
      lane_push(lane, {
        since = now, rest = rest, message = entry.message, connection = entry.connection, back = 'head'
      }, now)
      if ARGV[3] == '1' then
        -- It was charged for its calls when it was fetched, and a batch made them instead.
        lane_refund(lane, label_read('0 ' .. entry.rest).cost)
      end
    end
  end
end
redis.call('LPUSH', KEYS[1], '')
redis.call('LTRIM', KEYS[1], 0, 0)
return 1
