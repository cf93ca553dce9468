#!lua flags=allow-oom
-- Messages that nobody renewed for too long.
-- KEYS  1 unacked hash, 2 unacked index
-- ARGV  1 seconds, 2 at most so many
-- Returns tag, entry, tag, entry, …
local now = redis.call('TIME')
local latest = string.format('%.6f', now[1] + now[2] / 1e6 - tonumber(ARGV[1]))
local found = {}
for _, tag in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', latest, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local entry = redis.call('HGET', KEYS[1], tag)
  if entry then
    found[#found + 1] = tag
    found[#found + 1] = entry
  else
    redis.call('ZREM', KEYS[2], tag)
  end
end
return found
