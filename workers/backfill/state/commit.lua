-- Note that jobs are done and in the sink.
-- KEYS  1 hash, 2 jobs in flight, 3 endings, 4 their order
-- ARGV  1 token, 2 how far the sink is written, 3 how many sums, then what and how much, then jobs
-- Returns 1, or 0 for one that may not drive any more
if not drives(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'sink', ARGV[2])
for i = add_up(KEYS[1], 3), #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  if redis.call('HDEL', KEYS[3], ARGV[i]) == 1 then
    redis.call('LREM', KEYS[4], 1, ARGV[i])
  end
end
return 1
