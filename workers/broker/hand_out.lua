-- Register a fetched message as unacknowledged. The entry is kombu's own format, [message, exchange, routing key]; the
-- nameless exchange leads straight back to the queue that the message came from, wherever its producer had sent it. The
-- message itself is not encoded anew.
local function register(unacked, index, queue, tag, message, now)
  redis.call('HSET', unacked, tag, '[' .. message .. ', "", ' .. cjson.encode(queue) .. ']')
  redis.call('ZADD', index, string.format('%.6f', now), tag)
end

local function set_aside(malformed, message)
  redis.call('LPUSH', malformed, message)
  redis.call('LTRIM', malformed, 0, 99)
end

-- What keeps a message's place in time while it is out of its lane: part of the entry, not of the message.
local function with_since(message, since)
  return string.format('{"byom-since": %.6f, ', since) .. string.sub(message, 2)
end

-- The message without that, and since when it waits; nil if it was not in a lane.
local function without_since(message)
  local since, rest = string.match(message, '^{"byom%-since": ([%d.]+), (.*)$')
  if not since then
    return message, nil
  end
  return '{' .. rest, tonumber(since)
end
