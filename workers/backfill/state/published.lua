-- Note that jobs are with the broker.
-- KEYS  1 hash, 2 jobs in flight
-- ARGV  1 token, 2 writes so far, 3… jobs
-- Returns how many writes there were, or what `refused` says
local no = refused(KEYS[1], ARGV[1], ARGV[2])
if no then
  return no
end
for i = 3, #ARGV do
  local lines = redis.call('HGET', KEYS[2], ARGV[i])
  if lines then
    redis.call('HSET', KEYS[2], ARGV[i], '1' .. string.sub(lines, 2))
  end
end
return written(KEYS[1])
