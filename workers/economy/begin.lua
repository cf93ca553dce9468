#!lua flags=allow-oom
-- Make a batch of jobs that wait: all of them, or none if one does not wait any more.
-- ARGV  1 batch, 2 line, 3 the batch as JSON, 4 its items as JSON, then jobs
-- Returns 1 if it was made
local id, line = ARGV[1], ARGV[2]
for position = 5, #ARGV do
  local found = redis.call('HMGET', pool_job(ARGV[position]), 'line', 'batch')
  if found[1] ~= line or found[2] ~= '' then
    return 0
  end
end
for position = 5, #ARGV do
  redis.call('HSET', pool_job(ARGV[position]), 'batch', id)
  redis.call('ZREM', ECONOMY .. 'waiting:' .. line, ARGV[position])
end
redis.call('HSET', ECONOMY .. 'batch:' .. id, 'batch', ARGV[3], 'revision', 1)
redis.call('SET', ECONOMY .. 'items:' .. id, ARGV[4])
redis.call('SADD', ECONOMY .. 'open:' .. line, id)
return 1
