-- Lanes: where jobs wait until their meter can pay for them. workers/lanes/keys.py draws the layout of the keys.
-- Functions for the scripts that put jobs in, take them out and hold them back.
--
-- Tables of lanes and meters remember what was read of them, so that it is read once in each script.
local LANES = 'byom:lanes:'
-- Output tokens that one call counts for in shares; what a call really takes is the meter's affair.
local OUTPUT_OF_A_CALL = 500
-- Larger numbers, negative ones and those that are none at all are not ours.
local LARGEST = 1e15
-- Waits that end, and forgotten meters that are cleared away, in one call.
local AT_ONCE = 20
-- While a lane waits for this, the patience of its jobs stands still: it ends with the day or the month.
local TIMELESS = 'budget'

-- Seconds of the server's clock, with a fraction; tests give their own.
local function clock(given)
  if given ~= '' then
    return tonumber(given)
  end
  local now = redis.call('TIME')
  return now[1] + now[2] / 1e6
end

local function decimal(number)
  return string.format('%.6f', number)
end

local function field(key, name)
  return tonumber(redis.call('HGET', key, name) or '0')
end

local function meter_named(name)
  local line, queue, class, rest = string.match(name, '^(([^\t]*)\t([^\t]*))(\t.*)$')
  return {
    name = name, line = line, queue = queue, class = class, rest = rest,
    state = LANES .. 'meter:' .. name, ready = LANES .. 'ready:' .. name, due = LANES .. 'due:' .. queue
  }
end

-- The same meter in the other class.
local function meter_twin(meter, class)
  return meter_named(meter.queue .. '\t' .. class .. meter.rest)
end

-- Reads what a meter remembers, once.
local function meter_load(meter)
  if not meter.present then
    local found = redis.call('HMGET', meter.state, 'present', 'offset', 'credit')
    meter.present, meter.offset = tonumber(found[1] or '0'), tonumber(found[2] or '0')
    meter.credit = tonumber(found[3] or '0')
  end
  return meter
end

local function lane_named(name, meter)
  local meter_name, project = string.match(name, '^(.*)\t([^\t]*)$')
  return {
    name = name, project = project, meter = meter or meter_named(meter_name),
    jobs = LANES .. 'jobs:' .. name, state = LANES .. 'lane:' .. name
  }
end

-- Reads what a lane remembers, once.
local function lane_load(lane)
  if not lane.grace then
    local found = redis.call('HMGET', lane.state, 'head', 'grace', 'still')
    lane.head, lane.grace, lane.still = found[1] or '', tonumber(found[2] or '0'), found[3]
  end
  return lane
end

local function amount(text)
  local number = tonumber(text)
  return number and number >= 0 and number < LARGEST and number or nil
end

-- What stands before each message, so that nobody need decode it to know what it takes; nil if that is not readable.
local function label_read(label)
  local since, input, output, calls, patience, fallback, tag =
    string.match(label, '^(%S+) (%S+) (%S+) (%S+) (%S+) ([01]) (%S+)$')
  local job = {
    since = amount(since), input = amount(input), output = amount(output), calls = amount(calls),
    patience = amount(patience), fallback = fallback == '1', tag = tag
  }
  if not (job.since and job.input and job.output and job.calls and job.patience) then
    return nil
  end
  job.cost = job.input + OUTPUT_OF_A_CALL * job.calls
  return job
end

local function label_of(entry)
  return string.sub(entry, 1, (string.find(entry, '\n', 1, true) or 1) - 1)
end

local function weight_of(project)
  local weight = amount(redis.call('HGET', LANES .. 'weights', project) or '1')
  return weight and weight > 0 and weight or 1
end

-- Give a meter its place in its line, by the smallest tag of its lanes that may go, or take it out of the line.
-- `stands` when it is in the line already, which saves looking.
local function meter_refresh(meter, stands)
  local meters = LANES .. 'meters:' .. meter.line
  local first = redis.call('ZRANGE', meter.ready, 0, 0, 'WITHSCORES')
  if not first[1] or not stands and redis.call('ZSCORE', meter.due, 'meter\t' .. meter.name) then
    redis.call('ZREM', meters, meter.name)
    return
  end
  meter_load(meter)
  local tag = tonumber(first[2])
  if not stands and not redis.call('ZSCORE', meters, meter.name) then
    -- One that was away is not owed what passed meanwhile: it comes in where the others are now. All its lanes move
    -- together, so that their order among themselves stays.
    local present = field(LANES .. 'queue:' .. meter.queue, meter.class)
    if tag + meter.offset < present then
      meter.offset = present - tag
      redis.call('HSET', meter.state, 'offset', decimal(meter.offset))
    end
  end
  redis.call('ZADD', meters, decimal(tag + meter.offset), meter.name)
end

-- Take a meter with all its lanes out of its line until a moment.
local function meter_wait(meter, moment, why)
  redis.call('ZADD', meter.due, decimal(moment), 'meter\t' .. meter.name)
  redis.call('HSET', meter.state, 'why', why)
  redis.call('ZREM', LANES .. 'meters:' .. meter.line, meter.name)
end

local function meter_wake(meter)
  if redis.call('ZREM', meter.due, 'meter\t' .. meter.name) == 1 then
    redis.call('HDEL', meter.state, 'why')
    meter_refresh(meter)
  end
end

local function lane_is_paused(lane)
  local whose = lane.project .. '\t' .. lane.meter.class .. '\t'
  local found = redis.call('HMGET', LANES .. 'paused', whose, whose .. lane.meter.queue)
  return found[1] or found[2]
end

-- Note who comes first in a lane, and when that job's patience ends.
local function lane_head(lane, label, not_before)
  redis.call('HSET', lane.state, 'head', label)
  lane_load(lane).head = label
  local job = label_read(label)
  if job and not lane.still then
    local deadline = math.max(job.since + job.patience + lane.grace, not_before or 0)
    redis.call('ZADD', LANES .. 'deadlines:' .. lane.meter.queue, decimal(deadline), lane.name)
  end
end

-- Take a lane out of its meter's order. Its tag is kept, for its return.
local function lane_withdraw(lane)
  local tag = redis.call('ZSCORE', lane.meter.ready, lane.name)
  if tag then
    redis.call('HSET', lane.state, 'tag', tag)
    redis.call('ZREM', lane.meter.ready, lane.name)
    meter_refresh(lane.meter)
  end
end

-- From now on the patience of its jobs stands still.
local function lane_still(lane, now)
  if not lane_load(lane).still then
    lane.still = decimal(now)
    redis.call('HSET', lane.state, 'still', lane.still)
    redis.call('ZREM', LANES .. 'deadlines:' .. lane.meter.queue, lane.name)
  end
end

-- Let a lane go, unless it is paused or waits.
local function lane_go(lane, now)
  if lane_is_paused(lane) then
    lane_withdraw(lane)
    lane_still(lane, now)
    return
  end
  if redis.call('ZSCORE', lane.meter.due, 'lane\t' .. lane.name) then
    return
  end
  if lane_load(lane).still then
    lane.grace = lane.grace + math.max(0, now - tonumber(lane.still))
    lane.still = nil
    redis.call('HDEL', lane.state, 'still')
    redis.call('HSET', lane.state, 'grace', decimal(lane.grace))
    lane_head(lane, lane.head)
  end
  if not redis.call('ZSCORE', lane.meter.ready, lane.name) then
    local tag = math.max(field(lane.state, 'tag'), meter_load(lane.meter).present)
    redis.call('HDEL', lane.state, 'tag')
    redis.call('ZADD', lane.meter.ready, decimal(tag), lane.name)
  end
  meter_refresh(lane.meter)
end

-- Hold a lane back until a moment; a wait that ends later stays.
local function lane_wait(lane, moment, why, now)
  lane_withdraw(lane)
  if redis.call('ZADD', lane.meter.due, 'GT', 'CH', decimal(moment), 'lane\t' .. lane.name) == 1 then
    redis.call('HSET', lane.state, 'why', why)
    if why == TIMELESS then
      lane_still(lane, now)
    end
  end
end

local function lane_wake(lane, now)
  if redis.call('ZREM', lane.meter.due, 'lane\t' .. lane.name) == 1 then
    redis.call('HDEL', lane.state, 'why')
    lane_go(lane, now)
  end
end

-- A job comes back: its project is not to pay for it twice.
local function lane_refund(lane, cost)
  local back = cost / weight_of(lane.project)
  local tag = redis.call('ZSCORE', lane.meter.ready, lane.name)
  if tag then
    tag = math.max(tonumber(tag) - back, meter_load(lane.meter).present)
    redis.call('ZADD', lane.meter.ready, decimal(tag), lane.name)
    meter_refresh(lane.meter)
  else
    redis.call('HSET', lane.state, 'tag', decimal(math.max(0, field(lane.state, 'tag') - back)))
  end
end

-- Count a job in or out.
local function lane_count(lane, by, cost)
  redis.call('HINCRBY', LANES .. 'queue:' .. lane.meter.queue, 'jobs_' .. lane.meter.class, by)
  redis.call('HINCRBYFLOAT', lane.state, 'tokens', by * cost)
  if redis.call('HINCRBY', LANES .. 'waiting', lane.project, by) <= 0 then
    redis.call('HDEL', LANES .. 'waiting', lane.project)
  end
end

-- Put a job into its lane, and open that if nobody waits there.
--   job  {since =, rest = label without it, message =, connection =, back = 'head' | 'tail' if it was fetched before}
local function lane_push(lane, job, now)
  local since = math.min(job.since, now)
  if job.back then
    since = math.max(0, since - lane_load(lane).grace)
  end
  local label = decimal(since) .. ' ' .. job.rest
  local cost = label_read(label).cost
  local length = redis.call(job.back == 'head' and 'RPUSH' or 'LPUSH', lane.jobs, label .. '\n' .. job.message)
  lane_count(lane, 1, cost)
  local opened = redis.call('SADD', LANES .. 'all', lane.name) == 1
  if opened then
    local finished = LANES .. 'finished:' .. lane.meter.name
    redis.call('HSET', lane.state, 'connection', job.connection,
      'tag', redis.call('ZSCORE', finished, lane.name) or '0')
    redis.call('ZREM', finished, lane.name)
    redis.call('HINCRBY', lane.meter.state, 'lanes', 1)
    redis.call('ZREM', LANES .. 'idle:' .. lane.meter.line, lane.meter.name)
  end
  if job.back then
    lane_refund(lane, cost)
  end
  if job.back == 'head' then
    -- A job that went back a moment ago is not handed out again at once, be its patience at an end or not.
    lane_head(lane, label, now + 1)
  elseif opened then
    lane_head(lane, length == 1 and label or label_of(redis.call('LINDEX', lane.jobs, -1)))
  end
  if opened then
    lane_go(lane, now)
  end
end

-- Take the first job out. Returns what its label says and the message; or nil and the whole entry, if that has no label.
local function lane_pop(lane)
  local entry = redis.call('RPOP', lane.jobs)
  local label = entry and label_of(entry)
  local job = label and label_read(label)
  if not job then
    return nil, entry or ''
  end
  lane_count(lane, -1, job.cost)
  job.since = job.since + lane_load(lane).grace
  return job, string.sub(entry, #label + 2)
end

local function lane_end(lane, tag)
  local meter = meter_load(lane.meter)
  redis.call('ZREM', meter.ready, lane.name)
  redis.call('ZREM', meter.due, 'lane\t' .. lane.name)
  redis.call('ZREM', LANES .. 'deadlines:' .. meter.queue, lane.name)
  redis.call('SREM', LANES .. 'all', lane.name)
  redis.call('DEL', lane.state)
  lane.head, lane.grace, lane.still = nil, nil, nil
  -- A project that comes back soon goes on where it was, not before those who waited.
  local finished = LANES .. 'finished:' .. meter.name
  redis.call('ZREMRANGEBYSCORE', finished, '-inf', decimal(meter.present))
  if tag > meter.present then
    redis.call('ZADD', finished, decimal(tag), lane.name)
  end
  if redis.call('HINCRBY', meter.state, 'lanes', -1) <= 0 then
    local last = redis.call('ZRANGE', finished, 0, 0, 'REV', 'WITHSCORES')[2]
    redis.call('ZADD', LANES .. 'idle:' .. meter.line, decimal(tonumber(last or '0') + meter.offset), meter.name)
  end
end

-- After one was taken out: the next comes first, or the lane ends. The tag moves on by what the job costs, if it does.
-- `stands` when the meter is in its line.
local function lane_next(lane, cost, stands)
  local tag = lane.tag or redis.call('ZSCORE', lane.meter.ready, lane.name)
  local following = tonumber(tag or redis.call('HGET', lane.state, 'tag') or '0')
  if cost > 0 then
    following = following + cost / weight_of(lane.project)
  end
  local entry = redis.call('LINDEX', lane.jobs, -1)
  if not entry then
    lane_end(lane, following)
  else
    if not tag then
      redis.call('HSET', lane.state, 'tag', decimal(following))
    elseif cost > 0 then
      redis.call('ZADD', lane.meter.ready, decimal(following), lane.name)
    end
    lane_head(lane, label_of(entry))
  end
  if tag then
    meter_refresh(lane.meter, stands)
  end
end

-- End the waits of a queue whose time has come. Returns whether these were all of them.
local function waits_end(queue, now)
  local due = LANES .. 'due:' .. queue
  local over = redis.call('ZRANGE', due, '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, AT_ONCE)
  for _, who in ipairs(over) do
    local kind, name = string.match(who, '^(%a+)\t(.*)$')
    if kind == 'meter' then
      meter_wake(meter_named(name))
    else
      lane_wake(lane_named(name), now)
    end
  end
  return #over < AT_ONCE
end

-- Forget meters of a line at which nobody waits, once all others have come as far as they had.
local function idle_forget(line, present)
  local idle = LANES .. 'idle:' .. line
  for _, name in ipairs(redis.call('ZRANGE', idle, '-inf', present, 'BYSCORE', 'LIMIT', 0, AT_ONCE)) do
    redis.call('DEL', LANES .. 'meter:' .. name, LANES .. 'finished:' .. name)
    redis.call('ZREM', idle, name)
  end
end
