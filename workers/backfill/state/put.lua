-- Take in how a job ended, if it is in flight and this is new.
-- KEYS  1 jobs in flight, 2 endings, 3 their order
-- ARGV  1 job, 2 ending as JSON
-- Returns 1 when it was taken in
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('RPUSH', KEYS[3], ARGV[1])
return 1
