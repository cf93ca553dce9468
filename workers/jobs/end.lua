#!lua flags=allow-oom
-- Note how a job ended, or that it goes on to its next hop; the first ending stands.
-- KEYS  1 job hash, 2 lease
-- ARGV  1 owner, 2 state TTL in s, 3 'ending' | 'route', 4 ending or route as JSON, 5 hop of the route,
--       6 '1' if nothing of the job is left to be done
-- Returns {another ending that stood already, or '' when there was none; then owner and instant of each other delivery
-- that has the job in hand, where there was none}

-- A command of the job hash with many words, no more at once than Lua can hand over.
local function in_slices(command, words)
  for first = 1, #words, 1000 do
    redis.call(command, KEYS[1], unpack(words, first, math.min(first + 999, #words)))
  end
end

if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
redis.call('HDEL', KEYS[1], 'hand:' .. ARGV[1])
local ending = redis.call('HGET', KEYS[1], 'ending')
-- The same to the letter is sent again, since the answer to the first time was lost.
if ending and ending ~= ARGV[4] then
  return {ending}
end
local is_over = ARGV[3] == 'ending'
if not is_over then
  if tonumber(redis.call('HGET', KEYS[1], 'hop') or '0') < tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[1], 'route', ARGV[4], 'hop', ARGV[5])
  end
end
-- Parts and attempts are in the ending now, unless it may be replayed. Of an attempt it stays that it was counted, for
-- a settlement that is late; and all of it where another delivery is still to be accounted for.
local reply, units, attempts = {''}, {}, {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local kind, name = string.match(field, '^(%a+):(.*)$')
  if kind == 'hand' then
    reply[#reply + 1] = name
    reply[#reply + 1] = redis.call('HGET', KEYS[1], field)
  elseif kind == 'unit' then
    units[#units + 1] = field
  elseif kind == 'attempt' then
    attempts[#attempts + 1] = field
    attempts[#attempts + 1] = ''
  end
end
if is_over and ARGV[6] == '1' then
  in_slices('HDEL', units)
  if #reply == 1 then
    in_slices('HSET', attempts)
  end
end
if is_over then
  redis.call('HSET', KEYS[1], 'ending', ARGV[4], 'whole', ARGV[6])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return reply
