-- The pool of jobs that wait for a batch. workers/economy/keys.py draws the layout of the keys.
-- Functions for the scripts that put jobs in and give them back.
local ECONOMY = 'byom:economy:'

local function pool_job(id)
  return ECONOMY .. 'job:' .. id
end

-- What is kept of a message: queue, lane, label without the time, connection, and the message itself, one per line.
local function pool_entry(queue, lane, rest, connection, message)
  return table.concat({queue, lane, rest, connection, message}, '\n')
end

local function pool_read(entry)
  local queue, lane, rest, connection, message = string.match(entry, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
  return {queue = queue, lane = lane, rest = rest, connection = connection, message = message}
end

-- A job that waits for its batch counts among those of its project that wait.
local function pool_count(project, by)
  if redis.call('HINCRBY', LANES .. 'waiting', project, by) <= 0 then
    redis.call('HDEL', LANES .. 'waiting', project)
  end
end

-- Keep a job's working state at least so long: it has to outlast the batch.
local function pool_keep_state(id, seconds)
  local key = 'byom:job:{' .. id .. '}'
  local left = redis.call('TTL', key)
  if left >= 0 and left < tonumber(seconds) then
    redis.call('EXPIRE', key, seconds)
  end
end
