-- Note that jobs are with the broker, or, to run them again, that they are not.
-- KEYS  1 hash, 2 jobs in flight
-- ARGV  1 token, 2 '1' or '0', 3… jobs
-- Returns 1, or 0 for one that may not drive any more
if not drives(KEYS[1], ARGV[1]) then
  return 0
end
for i = 3, #ARGV do
  local lines = redis.call('HGET', KEYS[2], ARGV[i])
  if lines then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[2] .. string.sub(lines, 2))
  end
end
return 1
