-- Whether a driver may write: it is the last that began to drive, and all is as it left it. A server that restarted may
-- have lost the last second, and the driver must know before it goes on from what is not there any more.
-- Returns nil when it may, else what its script is to return: 0 when another drives, -1 when something was lost.
local function refused(key, token, writes)
  local kept = redis.call('HMGET', key, 'token', 'writes')
  if kept[1] ~= token then
    return 0
  end
  return kept[2] ~= writes and -1 or nil
end

-- Count what a driver writes; the number is what its next script must know.
local function written(key)
  return redis.call('HINCRBY', key, 'writes', 1)
end

-- Add to sums: ARGV from `at` on is how many pairs there are, then what and how much. Returns the place after them.
-- Amounts stay text on the way: as numbers of Lua, large sums of money would not be exact.
local function add_up(key, at)
  local last = at + 2 * tonumber(ARGV[at])
  for i = at + 1, last, 2 do
    redis.call('HINCRBY', key, 'n:' .. ARGV[i], ARGV[i + 1])
  end
  return last + 1
end

