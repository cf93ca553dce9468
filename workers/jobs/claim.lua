#!lua flags=allow-oom
-- Take a job in hand, or say why not.
-- KEYS  1 job hash, 2 lease
-- ARGV  1 hop, 2 owner, 3 lease in ms, 4 instant of the claim, 5 state TTL in s
-- Returns {'ended', ending} | {'busy', ms left} | {'handed', route} | {'claimed', field, value, …}
local ending, route, hop = unpack(redis.call('HMGET', KEYS[1], 'ending', 'route', 'hop'))
if ending then
  return {'ended', ending}
end
-- The same owner asks twice when the answer to its first claim was lost on the way.
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) and redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return {'busy', redis.call('PTTL', KEYS[2])}
end
if route and tonumber(hop) > tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[2])
  return {'handed', route}
end
-- Whoever finds this mark of another delivery knows that it never laid the job down.
redis.call('HSETNX', KEYS[1], 'hand:' .. ARGV[2], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, 'claimed')
return reply
