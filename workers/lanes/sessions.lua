-- Sessions: jobs of one project that go one after another. Only the first of a session is in a lane or in hand; the
-- others wait behind it. It is over when the broker has no message of it left, however each of them went.
-- Functions for the scripts that put jobs in and that forget messages; they need those of the lanes.
local SESSION, BEHIND = LANES .. 'session:', LANES .. 'behind:'

-- Ids stand in lines of text.
local function session_id(id)
  return (string.gsub(id, '%c', '?'))
end

-- Count a job in or out of those behind; it waits like one that is in its lane.
local function behind_count(lane, by)
  for key, field in pairs({[LANES .. 'behinds'] = lane.name, [LANES .. 'waiting'] = lane.project}) do
    if redis.call('HINCRBY', key, field, by) <= 0 then
      redis.call('HDEL', key, field)
    end
  end
end

-- Whether a job's message may go to its lane, since no other job of its session is before it; if so, it is noted.
local function session_enter(session, id, tag)
  local head = redis.call('HGET', SESSION .. session, 'head')
  if head and head ~= session_id(id) then
    return false
  end
  redis.call('HSET', SESSION .. session, 'head', session_id(id))
  redis.call('HINCRBY', SESSION .. session, 'messages', 1)
  redis.call('HSET', LANES .. 'members', tag, session)
  return true
end

-- Put a job behind all others of its session.
--   job  {id =, rest = label without the time, message =}
local function session_follow(session, lane, job)
  redis.call('LPUSH', BEHIND .. session,
    table.concat({lane.name, lane.connection, job.rest, session_id(job.id), job.message}, '\n'))
  redis.call('SADD', LANES .. 'sessions', session)
  behind_count(lane, 1)
end

-- Note that an entry was taken from behind.
local function session_took(session, lane)
  if redis.call('EXISTS', BEHIND .. session) == 0 then
    redis.call('SREM', LANES .. 'sessions', session)
  end
  behind_count(lane, -1)
end

-- A message is done with. If it was the last of its job, the next job of the session goes to its lane.
-- Returns whether one does
local function session_leave(tag, now)
  local session = redis.call('HGET', LANES .. 'members', tag)
  if not session then
    return false
  end
  redis.call('HDEL', LANES .. 'members', tag)
  if redis.call('HINCRBY', SESSION .. session, 'messages', -1) > 0 then
    return false
  end
  redis.call('DEL', SESSION .. session)
  local entry = redis.call('RPOP', BEHIND .. session)
  if not entry then
    return false
  end
  local name, connection, rest, id, message = string.match(entry, '^(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
  local lane = lane_named(name)
  session_took(session, lane)
  session_enter(session, id, string.match(rest, '%S+$'))
  -- Its patience begins now: it waited for another job, not for its meter.
  lane_push(lane, {since = now, rest = rest, message = message, connection = connection}, now)
  return true
end
