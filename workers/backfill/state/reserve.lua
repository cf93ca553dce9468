-- Take lines in hand, before anything of them is published.
-- KEYS  1 hash, 2 jobs in flight, 3 where the keys of ids begin
-- ARGV  1 token, 2 last line read, 3 how many sums, then what and how much, then how many jobs, job, lines, …, then ids
-- Returns 1, or 0 for one that may not drive any more
if not drives(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'read', ARGV[2])
local at = add_up(KEYS[1], 3)
local last = at + 2 * tonumber(ARGV[at])
for i = at + 1, last, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], '0' .. ARGV[i + 1])
end
for i = last + 1, #ARGV do
  redis.call('APPEND', seen_place(KEYS[3], ARGV[i]), ARGV[i])
end
return 1
