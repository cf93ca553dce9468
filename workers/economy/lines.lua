#!lua flags=allow-oom
-- The lines in which jobs wait or batches are on their way; others are forgotten.
-- Returns them
local lines = {}
for _, line in ipairs(redis.call('SMEMBERS', ECONOMY .. 'lines')) do
  if redis.call('EXISTS', ECONOMY .. 'waiting:' .. line, ECONOMY .. 'open:' .. line) > 0 then
    lines[#lines + 1] = line
  else
    redis.call('SREM', ECONOMY .. 'lines', line)
  end
end
return lines
