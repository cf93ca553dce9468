-- Whether a driver is still the last that began to drive: what an earlier one writes must change nothing.
local function drives(key, token)
  return redis.call('HGET', key, 'token') == token
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

