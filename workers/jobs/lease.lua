#!lua flags=allow-oom
-- Prolong a lease, if it is still its owner's.
-- KEYS  1 lease
-- ARGV  1 owner, 2 new lease in ms
-- Returns 1 when the owner held it, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
