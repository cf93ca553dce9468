#!lua flags=allow-oom
-- Write the usage record of one attempt exactly once, and add it to the sums of its hour.
-- KEYS  1 job hash, 2 stream of usage records, 3 sums of the hour, 4 those of its failed attempts by cause,
--       5 what is kept of labels in that hour, 6… sums of one label of the record
-- ARGV  1 id of the call, 2 record as JSON, 3 state TTL in s, 4 sums TTL in s, 5 records kept,
--       6 amounts, 7 field of the sums, 8 field of those of failed attempts, or '' where it did not fail, 9 project,
--       10 label fields kept of a project, 11 of all projects together, 12… field of each label's sums
-- Returns 1 when this very record stands, 0 when another one of the same call was there already
if redis.call('HSETNX', KEYS[1], 'attempt:' .. ARGV[1], ARGV[2]) == 0 then
  -- The same to the letter: it is sent again, since the answer to the first time was lost.
  return redis.call('HGET', KEYS[1], 'attempt:' .. ARGV[1]) == ARGV[2] and 1 or 0
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
if tonumber(ARGV[5]) > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'record', ARGV[2])
end

local amounts = {}
for number in string.gmatch(ARGV[6], '%d+') do
  amounts[#amounts + 1] = tonumber(number)
end

-- Money is whole micro-dollars and the pico-dollars below them: one number would be too large to be exact in Lua.
local function add(key, field)
  local known = redis.call('HGET', key, field)
  local sums, place = {}, 0
  for number in string.gmatch(known or '', '%d+') do
    place = place + 1
    sums[place] = tonumber(number) + (amounts[place] or 0)
  end
  for missing = place + 1, #amounts do
    sums[missing] = amounts[missing]
  end
  if sums[2] >= 1000000 then
    sums[1], sums[2] = sums[1] + 1, sums[2] - 1000000
  end
  for i, number in ipairs(sums) do
    sums[i] = string.format('%.0f', number)
  end
  redis.call('HSET', key, field, table.concat(sums, ' '))
  if not known then
    redis.call('EXPIRE', key, ARGV[4])
  end
end

add(KEYS[3], ARGV[7])
if ARGV[8] ~= '' then
  add(KEYS[4], ARGV[8])
end
for i = 6, #KEYS do
  local field, project = ARGV[i + 6], ARGV[9]
  if redis.call('HEXISTS', KEYS[i], field) == 0 then
    local kept, in_all = unpack(redis.call('HMGET', KEYS[5], 'kept:' .. project, 'kept'))
    if tonumber(kept or 0) < tonumber(ARGV[10]) and tonumber(in_all or 0) < tonumber(ARGV[11]) then
      redis.call('HINCRBY', KEYS[5], 'kept:' .. project, 1)
      redis.call('HINCRBY', KEYS[5], 'kept', 1)
      add(KEYS[i], field)
    else
      redis.call('HINCRBY', KEYS[5], 'left:' .. project, 1)
    end
    redis.call('EXPIRE', KEYS[5], ARGV[4])
  else
    add(KEYS[i], field)
  end
end
return 1
