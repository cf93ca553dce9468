#!lua flags=allow-oom
-- Take out the next message and register it as unacknowledged, in one step: no moment in which it is in neither place.
-- From a lane it is taken only if its meter can pay for it, and what it will take is set aside in the same step.
-- KEYS  1 unacked hash, 2 unacked index, 3 list of malformed messages, then queue keys in order of preference
-- ARGV  1 share of backfill while live jobs wait too, 2 seconds of the clock or '' (the server's; tests give theirs),
--       then name and 'ack' | 'no_ack' of each queue; the keys go through the queues once per priority step
-- Returns {queue, message, tag, meta of one from a lane} | {queue, message} (no_ack) | {queue} (malformed, set aside)
--         | nothing
local now = clock(ARGV[2])
-- What each token of a live job earns for the backfill that waits beside it.
local earned = tonumber(ARGV[1]) / (1 - tonumber(ARGV[1]))
-- Meters that are asked in one call.
local ASKED = 20
-- Seconds that a job may take from here to its first call.
local RESERVED = 30

local function from_list(key, queue, acked)
  local message = redis.call('RPOP', key)
  if not message then
    return nil
  end
  if not acked then
    return {queue, message}
  end
  local readable, decoded = pcall(cjson.decode, message)
  local tag = readable and type(decoded) == 'table' and type(decoded.properties) == 'table'
    and decoded.properties.delivery_tag
  if type(tag) ~= 'string' then
    set_aside(KEYS[3], message)
    return {queue}
  end
  register(KEYS[1], KEYS[2], queue, tag, message, now)
  return {queue, message, tag}
end

-- The first message of a lane, charged to its project or not.
local function from_lane(lane, acked, charged, reservation, impatient)
  local queue = lane.meter.queue
  local job, message = lane_pop(lane)
  lane_next(lane, job and charged and job.cost or 0)
  if not job or string.sub(message, 1, 1) ~= '{' then
    set_aside(KEYS[3], message)
    return {queue}
  end
  if not acked then
    return {queue, message}
  end
  register(KEYS[1], KEYS[2], queue, job.tag, with_since(message, job.since), now)
  local meta = string.format('{"since": %.6f, "reservation": %s, "impatient": %s}',
    job.since, cjson.encode(reservation), tostring(impatient))
  return {queue, message, job.tag, meta}
end

-- Move the time of a meter and of its line on to the tag of a lane that is served now.
local function time_passes(lane, tag)
  local meter = lane.meter
  if tag > field(meter.state, 'present') then
    redis.call('HSET', meter.state, 'present', decimal(tag))
    redis.call('ZREMRANGEBYSCORE', meter.finished, '-inf', decimal(tag))
  end
  local place = tag + field(meter.state, 'offset')
  local queue = LANES .. 'queue:' .. meter.queue
  if place > field(queue, meter.class) then
    redis.call('HSET', queue, meter.class, decimal(place))
    idle_forget(meter.line, decimal(place))
  end
end

-- Backfill has a share of its own at each meter and in each queue, kept as a credit in tokens. It grows with what live
-- jobs take while backfill waits, and what backfill takes is paid from it: below zero (by one job at most) where the
-- share was called in, not below zero where nobody else wanted it.
local function settle_shares(meter, cost, called_in)
  local queue = LANES .. 'queue:' .. meter.queue
  if meter.class == 'live' then
    local twin = meter_named(meter.queue .. '\tbackfill' .. meter.rest)
    if redis.call('EXISTS', twin.ready) == 1 then
      redis.call('HINCRBYFLOAT', twin.state, 'credit', decimal(cost * earned))
    end
    if redis.call('EXISTS', LANES .. 'meters:' .. meter.queue .. '\tbackfill') == 1 then
      redis.call('HINCRBYFLOAT', queue, 'credit', decimal(cost * earned))
    end
    return
  end
  for _, key in ipairs({meter.state, queue}) do
    local credit = field(key, 'credit')
    if called_in then
      redis.call('HSET', key, 'credit', decimal(math.max(credit - cost, -cost)))
    elseif credit > 0 then
      redis.call('HSET', key, 'credit', decimal(math.max(0, credit - cost)))
    end
  end
end

-- The job whose turn it is at a meter. Returns a reply; or nil, moment, reason if the meter cannot pay for it.
local function ask(meter, acked, called_in)
  local first = redis.call('ZRANGE', meter.ready, 0, 0, 'WITHSCORES')
  if not first[1] then
    meter_refresh(meter)
    return nil
  end
  local lane, tag = lane_named(first[1]), tonumber(first[2])
  local job = label_read(redis.call('HGET', lane.state, 'head') or '')
  if not job then
    return from_lane(lane, acked, false, '', false)
  end
  local reservation = 'fetch:' .. job.tag
  local paid, wait, reason = bucket_take(meter.bucket, now,
    {input = job.input, output = job.output, calls = job.calls},
    {name = reservation, seconds = RESERVED, kind = 'fetch'})
  if not paid then
    -- Whoever fetches a job that need not wait for this meter takes it on to another connection.
    if not (job.fallback and (reason == 'breaker' or reason == 'credential')) then
      return nil, now + wait, reason
    end
    reservation = ''
  end
  time_passes(lane, tag)
  settle_shares(meter, job.cost, called_in)
  return from_lane(lane, acked, true, reservation, false)
end

-- A live meter: its backfill first, where that is owed its share, and else behind.
local function ask_live(meter, acked)
  if earned > 0 then
    local twin = meter_named(meter.queue .. '\tbackfill' .. meter.rest)
    if field(twin.state, 'credit') > 0 and redis.call('EXISTS', twin.ready) == 1 then
      local reply, moment, reason = ask(twin, acked, true)
      if reply then
        return reply
      end
      if moment then
        -- Were live jobs to go on, small ones would take the tokens for ever that a large one waits for.
        meter_wait(twin, moment, reason)
        return nil, moment, reason
      end
    end
  end
  return ask(meter, acked, false)
end

local function ask_backfill(meter, acked, called_in)
  local live = meter.queue .. '\tlive' .. meter.rest
  local busy_until = redis.call('ZSCORE', LANES .. 'due:' .. meter.queue, 'meter\t' .. live)
  if busy_until then
    return nil, tonumber(busy_until), redis.call('HGET', LANES .. 'meter:' .. live, 'why') or ''
  end
  return ask(meter, acked, called_in)
end

local function from_meters(queue, acked, credit)
  local left = ASKED
  local share_called_in = earned > 0 and credit > 0
  for _, class in ipairs(share_called_in and {'backfill', 'live'} or {'live', 'backfill'}) do
    local meters = LANES .. 'meters:' .. queue .. '\t' .. class
    while left > 0 do
      local name = redis.call('ZRANGE', meters, 0, 0)[1]
      if not name then
        break
      end
      left = left - 1
      local meter = meter_named(name)
      local reply, moment, reason
      if class == 'live' then
        reply, moment, reason = ask_live(meter, acked)
      else
        reply, moment, reason = ask_backfill(meter, acked, share_called_in)
      end
      if reply then
        return reply
      end
      if moment then
        meter_wait(meter, moment, reason)
      end
    end
  end
  return nil
end

local function from_lanes(queue, acked)
  local state = LANES .. 'queue:' .. queue
  local found = redis.call('HMGET', state, 'jobs', 'credit', 'late_last')
  if not found[1] then
    return nil
  end
  waits_end(queue, now)
  -- The count is not all: an entry that somebody wrote by hand was never counted.
  if tonumber(found[1]) <= 0
    and redis.call('EXISTS', LANES .. 'meters:' .. queue .. '\tlive', LANES .. 'meters:' .. queue .. '\tbackfill') == 0
  then
    -- Nobody is left whom anybody could overtake.
    idle_forget(queue .. '\tlive', '+inf')
    idle_forget(queue .. '\tbackfill', '+inf')
    if redis.call('EXISTS', LANES .. 'idle:' .. queue .. '\tlive', LANES .. 'idle:' .. queue .. '\tbackfill',
        LANES .. 'due:' .. queue) == 0 then
      redis.call('DEL', state)
    end
    return nil
  end
  -- Those whose patience has ended go out unpaid, to be sent on or failed: every other one, so that a crowd of them is
  -- not before everybody else.
  local late = redis.call('ZRANGE', LANES .. 'deadlines:' .. queue, '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, 1)[1]
  local reply
  if not late or found[3] then
    if found[3] then
      redis.call('HDEL', state, 'late_last')
    end
    reply = from_meters(queue, acked, tonumber(found[2] or '0'))
  end
  if not reply and late then
    -- Not if that very job was found in its turn meanwhile.
    if redis.call('ZSCORE', LANES .. 'deadlines:' .. queue, late) then
      redis.call('HSET', state, 'late_last', 1)
      return from_lane(lane_named(late), acked, false, '', true)
    end
  end
  return reply
end

local queues = (#ARGV - 2) / 2
for position = 4, #KEYS do
  local turn = position - 4
  local queue, acked = ARGV[turn % queues * 2 + 3], ARGV[turn % queues * 2 + 4] ~= 'no_ack'
  local reply = from_list(KEYS[position], queue, acked)
  if not reply and turn < queues then
    reply = from_lanes(queue, acked)
  end
  if reply then
    return reply
  end
end
return false
