-- Prolong a lease, or give it back, if it is still its owner's.
-- KEYS  1 lease
-- ARGV  1 owner, 2 new lease in ms; 0 gives it back
-- Returns 1 when the owner held it, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
