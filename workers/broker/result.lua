#!lua flags=allow-oom
-- Store a result, and tell those who wait for it. What a job came to is not written over by one that is late: a worker
-- that was stopped between looking at a job and saying that it has started goes on when the job is long over.
-- KEYS  1 result
-- ARGV  1 its text, 2 seconds that it is kept, 0 for ever
local FINAL = {SUCCESS = true, FAILURE = true}
local function state(text)
  return string.match(text or '', '^{"status": "(%u+)"')
end
local old, new = state(redis.call('GET', KEYS[1])), state(ARGV[1])
if FINAL[old] and not FINAL[new] or old == 'SUCCESS' and new == 'FAILURE' then
  return
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
