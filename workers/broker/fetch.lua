#!lua flags=allow-oom
-- Take out the next messages and register them as unacknowledged, in one step: no moment in which one is in neither
-- place. From a lane it is taken only if its meter can pay for it, and what it will take is set aside in the same step.
-- KEYS  1 unacked hash, 2 unacked index, 3 list of malformed messages, then queue keys in order of preference
-- ARGV  1 share of backfill while live jobs wait too, 2 seconds of the clock or '' (the server's; tests give theirs),
--       3 messages at most, then name and 'ack' | 'no_ack' of each queue; the keys go through the queues once per
--       priority step
-- Returns a list, of these: {queue, message, tag, meta of one from a lane} | {queue, message} (no_ack)
--         | {queue} (malformed, set aside)
local now = clock(ARGV[2])
-- What each token of a live job earns for the backfill that waits beside it.
local earned = tonumber(ARGV[1]) / (1 - tonumber(ARGV[1]))
-- Meters that are asked in one call.
local ASKED = 20
-- Seconds that a job may take from here to its first call.
local RESERVED = 30
-- Every so many jobs meters at which nobody waits are forgotten.
local TIDY_EVERY = 16

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

-- The first message of a lane.
--   how  {charged =, reservation =, impatient =, stands = the meter is in its line}
local function from_lane(lane, acked, how)
  local queue = lane.meter.queue
  local job, message = lane_pop(lane)
  lane_next(lane, job and how.charged and job.cost or 0, how.stands)
  if not job or string.sub(message, 1, 1) ~= '{' then
    set_aside(KEYS[3], message)
    return {queue}
  end
  if not acked then
    return {queue, message}
  end
  register(KEYS[1], KEYS[2], queue, job.tag, with_since(message, job.since), now)
  local meta = string.format('{"since": %.6f, "reservation": %s, "impatient": %s}',
    job.since, cjson.encode(how.reservation or ''), tostring(how.impatient or false))
  return {queue, message, job.tag, meta}
end

-- Whether the meter can pay, and then what it will take is set aside. Returns as `bucket_take`.
local function pay(meter, job)
  local tenant, name = string.match(meter.rest, '^\t([^\t]*)\t(.*)$')
  local prefix = 'byom:{' .. tenant .. '}:'
  return bucket_take(
    {state = prefix .. 'meter:' .. name, leases = prefix .. 'leases:' .. name, held = prefix .. 'held:' .. name}, now,
    {input = job.input, output = job.output, calls = job.calls},
    {name = 'fetch:' .. job.tag, seconds = RESERVED, kind = 'fetch'})
end

-- Move the time of a meter and of its line on to the tag of a lane that is served now.
local function time_passes(state, meter, tag)
  if tag > meter_load(meter).present then
    meter.present = tag
    redis.call('HSET', meter.state, 'present', decimal(tag))
  end
  local place = tag + meter.offset
  if place > state[meter.class] then
    redis.call('HSET', state.key, meter.class, decimal(place))
    if (state.jobs_live + state.jobs_backfill) % TIDY_EVERY == 0 then
      idle_forget(meter.line, decimal(place))
    end
  end
end

-- Backfill has a share of its own at each meter and in each queue, kept as a credit in tokens. It grows with what live
-- jobs take while backfill waits, and what backfill takes is paid from it: below zero (by one job at most) where the
-- share was called in, not below zero where nobody else wanted it.
local function settle_shares(state, meter, cost, called_in)
  if state.jobs_backfill <= 0 then
    return
  end
  if meter.class == 'live' then
    local twin = meter.twin or meter_twin(meter, 'backfill')
    if redis.call('EXISTS', twin.ready) == 1 then
      redis.call('HINCRBYFLOAT', twin.state, 'credit', decimal(cost * earned))
    end
    if redis.call('EXISTS', LANES .. 'meters:' .. meter.queue .. '\tbackfill') == 1 then
      redis.call('HINCRBYFLOAT', state.key, 'credit', decimal(cost * earned))
    end
    return
  end
  local credits = {[meter.state] = meter_load(meter).credit, [state.key] = state.credit}
  for key, credit in pairs(credits) do
    if called_in then
      redis.call('HSET', key, 'credit', decimal(math.max(credit - cost, -cost)))
    elseif credit > 0 then
      redis.call('HSET', key, 'credit', decimal(math.max(0, credit - cost)))
    end
  end
end

-- The job whose turn it is at a meter. Returns a reply; or nil, moment, reason if the meter cannot pay for it.
--   how  {called_in = backfill takes its share, stands = the meter is in its line}
local function ask(state, meter, acked, how)
  local first = redis.call('ZRANGE', meter.ready, 0, 0, 'WITHSCORES')
  if not first[1] then
    meter_refresh(meter)
    return nil
  end
  local lane, tag = lane_named(first[1], meter), tonumber(first[2])
  lane.tag = first[2]
  local job = label_read(lane_load(lane).head)
  if not job then
    return from_lane(lane, acked, {stands = how.stands})
  end
  local paid, wait, reason = pay(meter, job)
  -- Whoever fetches a job that need not wait for this meter takes it on to another connection.
  if not paid and not (job.fallback and (reason == 'breaker' or reason == 'credential')) then
    return nil, now + wait, reason
  end
  time_passes(state, meter, tag)
  settle_shares(state, meter, job.cost, how.called_in)
  return from_lane(lane, acked, {charged = true, reservation = paid and 'fetch:' .. job.tag, stands = how.stands})
end

-- A live meter: its backfill first, where that is owed its share, and else behind.
local function ask_live(state, meter, acked)
  if earned > 0 and state.jobs_backfill > 0 then
    meter.twin = meter_twin(meter, 'backfill')
    if meter_load(meter.twin).credit > 0 and redis.call('EXISTS', meter.twin.ready) == 1 then
      local reply, moment, reason = ask(state, meter.twin, acked, {called_in = true})
      if reply then
        return reply
      end
      if moment then
        -- Were live jobs to go on, small ones would take the tokens for ever that a large one waits for.
        meter_wait(meter.twin, moment, reason)
        return nil, moment, reason
      end
    end
  end
  return ask(state, meter, acked, {stands = true})
end

local function ask_backfill(state, meter, acked, called_in)
  local live = meter_twin(meter, 'live')
  local busy_until = redis.call('ZSCORE', meter.due, 'meter\t' .. live.name)
  if busy_until then
    return nil, tonumber(busy_until), redis.call('HGET', live.state, 'why') or ''
  end
  return ask(state, meter, acked, {called_in = called_in, stands = true})
end

local function from_meters(state, acked)
  local left = ASKED
  local called_in = earned > 0 and state.credit > 0 and state.jobs_backfill > 0
  for _, class in ipairs(called_in and {'backfill', 'live'} or {'live', 'backfill'}) do
    local meters = LANES .. 'meters:' .. state.queue .. '\t' .. class
    while left > 0 do
      local name = redis.call('ZRANGE', meters, 0, 0)[1]
      if not name then
        break
      end
      left = left - 1
      local meter = meter_named(name)
      local reply, moment, reason
      if class == 'live' then
        reply, moment, reason = ask_live(state, meter, acked)
      else
        reply, moment, reason = ask_backfill(state, meter, acked, called_in)
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

-- Nobody is left in the queue whom anybody could overtake: forget what was kept for that.
local function tidy(state)
  local left = {state.key, LANES .. 'due:' .. state.queue}
  for _, class in ipairs({'live', 'backfill'}) do
    idle_forget(state.queue .. '\t' .. class, '+inf')
    left[#left + 1] = LANES .. 'idle:' .. state.queue .. '\t' .. class
  end
  if redis.call('EXISTS', unpack(left, 2)) == 0 then
    redis.call('DEL', state.key)
  end
end

-- Queues of which all waits that are over by now have ended: one look is enough.
local waits_ended = {}

local function from_lanes(queue, acked)
  local key = LANES .. 'queue:' .. queue
  local found = redis.call('HMGET', key, 'jobs_live', 'jobs_backfill', 'live', 'backfill', 'credit', 'late_last')
  if not found[1] and not found[2] then
    return nil
  end
  local state = {key = key, queue = queue}
  for position, name in ipairs({'jobs_live', 'jobs_backfill', 'live', 'backfill', 'credit'}) do
    state[name] = tonumber(found[position] or '0')
  end
  waits_ended[queue] = waits_ended[queue] or waits_end(queue, now)
  -- The counts are not all: an entry that somebody wrote by hand was never counted.
  if state.jobs_live <= 0 and state.jobs_backfill <= 0
    and redis.call('EXISTS', LANES .. 'meters:' .. queue .. '\tlive', LANES .. 'meters:' .. queue .. '\tbackfill') == 0
  then
    tidy(state)
    return nil
  end
  -- Those whose patience has ended go out unpaid, to be sent on or failed: every other one, so that a crowd of them is
  -- not before everybody else.
  local deadlines = LANES .. 'deadlines:' .. queue
  local late = redis.call('ZRANGE', deadlines, '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, 1)[1]
  local reply
  if found[6] then
    redis.call('HDEL', key, 'late_last')
  end
  if not late or found[6] then
    reply = from_meters(state, acked)
  end
  if not reply and late then
    redis.call('HSET', key, 'late_last', 1)
    return from_lane(lane_named(late), acked, {impatient = true})
  end
  return reply
end

local queues = (#ARGV - 3) / 2
-- Whose turn it is; a queue that was served comes last. And what was found to be empty, which it stays in here.
local turns, empty = {}, {}
for place = 1, queues do
  turns[place] = place
end

-- Where all are empty, one command says so instead of one for each: of the lists, which foreign producers alone fill,
-- and of the queues that have lanes.
local function look_at_all()
  local states = {}
  for place = 1, queues do
    states[place] = LANES .. 'queue:' .. ARGV[place * 2 + 2]
  end
  if redis.call('EXISTS', unpack(KEYS, 4)) == 0 then
    for place = 4, #KEYS do
      empty[KEYS[place]] = true
    end
  end
  if redis.call('EXISTS', unpack(states)) == 0 then
    for place = 1, queues do
      empty[states[place]] = true
    end
  end
end

local function look(key, from, ...)
  if empty[key] then
    return nil
  end
  local reply = from(...)
  empty[key] = not reply
  return reply
end

-- The next message, and which turn it was.
local function next_message()
  for step = 0, (#KEYS - 3) / queues - 1 do
    for turn, place in ipairs(turns) do
      local queue, acked = ARGV[place * 2 + 2], ARGV[place * 2 + 3] ~= 'no_ack'
      local key = KEYS[3 + step * queues + place]
      local reply = look(key, from_list, key, queue, acked)
      if not reply and step == 0 then
        reply = look(LANES .. 'queue:' .. queue, from_lanes, queue, acked)
      end
      if reply then
        return reply, turn
      end
    end
  end
end

local replies = {}
look_at_all()
while #replies < tonumber(ARGV[3]) do
  local reply, turn = next_message()
  if not reply then
    break
  end
  replies[#replies + 1] = reply
  table.insert(turns, table.remove(turns, turn))
end
return replies
