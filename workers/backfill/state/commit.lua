-- Note that jobs are done and in the sink.
-- KEYS  1 hash, 2 jobs in flight, 3 endings, 4 their order
-- ARGV  1 token, 2 writes so far, 3 how far the sink is written, 4 how many sums, then what and how much, then jobs
-- Returns how many writes there were, or what `refused` says
local no = refused(KEYS[1], ARGV[1], ARGV[2])
if no then
  return no
end
redis.call('HSET', KEYS[1], 'sink', ARGV[3])
for i = add_up(KEYS[1], 4), #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  if redis.call('HDEL', KEYS[3], ARGV[i]) == 1 then
    redis.call('LREM', KEYS[4], 1, ARGV[i])
  end
end
return written(KEYS[1])
