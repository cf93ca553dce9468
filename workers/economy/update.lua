#!lua flags=allow-oom
-- Write down where a batch stands, unless somebody else has done so since it was read.
-- ARGV  1 batch, 2 revision that was read, 3 the batch as JSON, 4 line if it is over, else '', 5 seconds to keep it then,
--       6 batches kept then, 7 seconds of the clock or ''
-- Returns the new revision, or 0
local key = ECONOMY .. 'batch:' .. ARGV[1]
if redis.call('HGET', key, 'revision') ~= ARGV[2] then
  return 0
end
redis.call('HSET', key, 'batch', ARGV[3])
local revision = redis.call('HINCRBY', key, 'revision', 1)
if ARGV[4] ~= '' then
  local closed = ECONOMY .. 'closed'
  redis.call('SREM', ECONOMY .. 'open:' .. ARGV[4], ARGV[1])
  redis.call('DEL', ECONOMY .. 'items:' .. ARGV[1])
  redis.call('EXPIRE', key, ARGV[5])
  redis.call('ZADD', closed, decimal(clock(ARGV[7])), ARGV[1])
  for _, old in ipairs(redis.call('ZRANGE', closed, 0, -1 - tonumber(ARGV[6]))) do
    redis.call('DEL', ECONOMY .. 'batch:' .. old)
    redis.call('ZREM', closed, old)
  end
end
return revision
