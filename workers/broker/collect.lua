#!lua flags=allow-oom
-- Move a fetched message to the pool of jobs that wait for a batch.
-- KEYS  1 unacked hash, 2 unacked index
-- ARGV  1 tag, 2 queue, 3 lane or '', 4 label without the time, 5 connection, 6 line, 7 job, 8 project,
--       9 seconds to keep the job's working state, 10 seconds of the clock or ''
-- Returns 1 if it was moved, 0 if it was settled or put back already, or did not come from this queue
local tag, queue, job = ARGV[1], ARGV[2], ARGV[7]
local entry = redis.call('HGET', KEYS[1], tag)
local rest = ', "", ' .. cjson.encode(queue) .. ']'
if not entry or string.sub(entry, 1, 1) ~= '[' or string.sub(entry, -#rest) ~= rest then
  return 0
end
local message = without_since(string.sub(entry, 2, -#rest - 1))
redis.call('HDEL', KEYS[1], tag)
redis.call('ZREM', KEYS[2], tag)
local key, now = pool_job(job), clock(ARGV[10])
-- Another message of a job that is here already waits with it.
if redis.call('HSETNX', key, 'line', ARGV[6]) == 1 then
  redis.call('HSET', key, 'project', ARGV[8], 'since', decimal(now), 'batch', '')
  redis.call('ZADD', ECONOMY .. 'waiting:' .. ARGV[6], decimal(now), job)
  redis.call('SADD', ECONOMY .. 'lines', ARGV[6])
end
if redis.call('HSET', key, 'm:' .. tag, pool_entry(queue, ARGV[3], ARGV[4], ARGV[5], message)) == 1 then
  pool_count(redis.call('HGET', key, 'project'), 1)
end
pool_keep_state(job, ARGV[9])
return 1
