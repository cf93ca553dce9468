#!lua flags=allow-oom
-- Pop the next message and register it as unacknowledged, in one step: no moment in which it is in neither place.
-- KEYS  1 unacked hash, 2 unacked index, 3 list of malformed messages, then queue keys in order of preference
-- ARGV  name and 'ack' | 'no_ack' of each queue; the keys go through the queues once per priority step
-- Returns {queue, message, tag} | {queue, message} (no_ack) | {queue} (malformed, set aside) | nothing
local queues = #ARGV / 2
for position = 4, #KEYS do
  local message = redis.call('RPOP', KEYS[position])
  if message then
    local at = (position - 4) % queues * 2 + 1
    local queue = ARGV[at]
    if ARGV[at + 1] == 'no_ack' then
      return {queue, message}
    end
    local readable, decoded = pcall(cjson.decode, message)
    local tag = readable and type(decoded) == 'table' and type(decoded.properties) == 'table'
      and decoded.properties.delivery_tag
    if type(tag) ~= 'string' then
      redis.call('LPUSH', KEYS[3], message)
      redis.call('LTRIM', KEYS[3], 0, 99)
      return {queue}
    end
    -- kombu's own format, [message, exchange, routing key]. The nameless exchange leads straight back to the queue
    -- that the message came from, wherever its producer had sent it. The message itself is not encoded anew.
    redis.call('HSET', KEYS[1], tag, '[' .. message .. ', "", ' .. cjson.encode(queue) .. ']')
    local now = redis.call('TIME')
    redis.call('ZADD', KEYS[2], string.format('%.6f', now[1] + now[2] / 1e6), tag)
    return {queue, message, tag}
  end
end
return false
