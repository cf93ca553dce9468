-- Keep of a job that went well only that it did, and which calls were counted: its memories are kept elsewhere now.
-- KEYS  job hashes
-- ARGV  for each: ending without memories
for i, key in ipairs(KEYS) do
  local ending, whole = unpack(redis.call('HMGET', key, 'ending', 'whole'))
  if ending and whole == '1' then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      if string.sub(field, 1, 8) == 'attempt:' then
        redis.call('HSET', key, field, '')
      end
    end
    redis.call('HSET', key, 'ending', ARGV[i])
  end
end
