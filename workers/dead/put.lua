-- Keep the letter of a job that ended; the oldest ones give way where there are too many.
-- KEYS  1 working state of the job
-- ARGV  1 id, 2 how often it had been replayed, 3 when it ended in s, 4 about as JSON, 5 contents, 6 name of their key or
--       '', 7 code, 8 project, 9 seconds that letters are kept, 10 letters kept, 11 bytes kept
-- Returns {'kept' | 'known' | 'stale' | 'dropped', letters that gave way since an event told of it, or 0}
local id, replays, ended = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key = DEAD .. 'job:' .. id
-- Told by a delivery from before the job was replayed: the replay will say how it ended.
if tonumber(redis.call('HGET', KEYS[1], 'replays') or '0') > replays then
  return {'stale', 0}
end
local known = redis.call('HGET', key, 'replays')
if known and tonumber(known) >= replays then
  return {'known', 0}
end
local bytes = #ARGV[4] + #ARGV[5]
local most, most_bytes = tonumber(ARGV[10]), tonumber(ARGV[11])
letter_remove(id)
local word, dropped = 'kept', 0
if bytes > most_bytes or most < 1 then
  word, dropped = 'dropped', 1
else
  redis.call('HSET', key, 'about', ARGV[4], 'sealed', ARGV[5], 'replays', ARGV[2])
  if ARGV[6] ~= '' then
    redis.call('HSET', key, 'key', ARGV[6])
  end
  redis.call('EXPIRE', key, ARGV[9])
  redis.call('ZADD', DEAD .. 'all', ARGV[3], id)
  redis.call('ZADD', DEAD .. 'project:' .. ARGV[8], ARGV[3], id)
  redis.call('INCRBY', DEAD .. 'bytes', bytes)
  letter_write(id, {bytes = bytes, code = ARGV[7], project = ARGV[8], state = 'dead'})
  count(ARGV[7], 1)
end
letters_expire(string.format('%.6f', ended - tonumber(ARGV[9])))
while dropped < AT_ONCE do
  if redis.call('ZCARD', DEAD .. 'all') <= most and tonumber(redis.call('GET', DEAD .. 'bytes') or '0') <= most_bytes then
    break
  end
  letter_remove(redis.call('ZRANGE', DEAD .. 'all', 0, 0)[1])
  dropped = dropped + 1
end
if dropped == 0 then
  return {word, 0}
end
redis.call('HINCRBY', DEAD .. 'dropped', 'limit', dropped)
local untold = redis.call('HINCRBY', DEAD .. 'dropped', 'untold', dropped)
-- Once an hour is enough to say it.
if not redis.call('SET', DEAD .. 'told', '', 'NX', 'EX', 3600) then
  return {word, 0}
end
redis.call('HDEL', DEAD .. 'dropped', 'untold')
return {word, untold}
