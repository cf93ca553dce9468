-- Take lines in hand, before anything of them is published.
-- KEYS  1 hash, 2 jobs in flight, 3 where the keys of ids begin
-- ARGV  1 token, 2 writes so far, 3 last line read, 4 how many sums, then what and how much, then how many jobs, job, lines, …, then ids
-- Returns how many writes there were, or what `refused` says
local no = refused(KEYS[1], ARGV[1], ARGV[2])
if no then
  return no
end
redis.call('HSET', KEYS[1], 'read', ARGV[3])
local at = add_up(KEYS[1], 4)
local last = at + 2 * tonumber(ARGV[at])
for i = at + 1, last, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], '0' .. ARGV[i + 1])
end
for i = last + 1, #ARGV do
  redis.call('APPEND', seen_place(KEYS[3], ARGV[i]), ARGV[i])
end
return written(KEYS[1])
