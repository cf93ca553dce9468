#!lua
-- Put jobs into their lanes, opening those in which nobody waits, and wake a worker. Each job's key is taken and its
-- message put in the same step, so that no key is ever held by a job that is nowhere.
-- Unlike what takes jobs out, it is refused when the server is full.
-- KEYS  1 list that wakes a worker, 2 what is remembered of this batch
-- ARGV  1 seconds of the clock or '', 2 seconds that the batch is remembered (whoever sends it again is answered alike),
--       or '' for not at all, 3 seconds that keys are remembered, 4 how many lanes;
--       of each lane: name, connection, weight or '', jobs of its project that may wait or '';
--       of each job: place of its lane among these from 1, label without the time, id, key or '', session or '', length of its
--       message;
--       all messages, one behind the other: clients send one long argument in one go, and many in many
-- Returns -1; or what ended the batch before a job: -2 where its key is held for another project, else how many jobs
-- of its project wait, for which there is no room. Then of each job before that one '', or the id that holds its key
-- Keys that are the job's own id; one id is not to lead from one project to another's result.
local GIVEN = 'byom:id:'
local remembered = ARGV[2] ~= '' and redis.call('GET', KEYS[2])
if remembered then
  return cjson.decode(remembered)
end
local now = clock(ARGV[1])
local lanes, position = {}, 5
for place = 1, tonumber(ARGV[4]) do
  local lane = lane_named(ARGV[position])
  lane.connection, lane.most = ARGV[position + 1], tonumber(ARGV[position + 3])
  local weight = ARGV[position + 2]
  if weight ~= '' then
    if tonumber(weight) == 1 then
      redis.call('HDEL', LANES .. 'weights', lane.project)
    else
      redis.call('HSET', LANES .. 'weights', lane.project, weight)
    end
  end
  lanes[place] = lane
  position = position + 4
end

-- The id of the job that holds a key, if it is not free; and a project, where the key is held for that alone.
local function holder(key)
  local found = key ~= '' and redis.call('GET', key)
  if found then
    return string.match(found, '^%S*'), string.match(found, '\t(.*)$')
  end
end

local reply, put, messages, read = {-1}, 0, ARGV[#ARGV], 0
while position < #ARGV do
  local lane, id, key = lanes[tonumber(ARGV[position])], ARGV[position + 2], ARGV[position + 3]
  local begin = read + 1
  read = read + tonumber(ARGV[position + 5])
  local known, project = holder(key)
  if project and project ~= lane.project then
    reply[1] = -2
    break
  end
  if not known then
    -- A job that is known is none more.
    local waiting = lane.most and field(LANES .. 'waiting', lane.project)
    if waiting and waiting >= lane.most then
      reply[1] = waiting
      break
    end
    if key ~= '' then
      redis.call('SET', key, string.sub(key, 1, #GIVEN) == GIVEN and id .. '\t' .. lane.project or id, 'EX', ARGV[3])
    end
    local rest, session, message = ARGV[position + 1], ARGV[position + 4], string.sub(messages, begin, read)
    if session == '' or session_enter(session, id, string.match(rest, '%S+$')) then
      lane_push(lane, {since = now, rest = rest, message = message, connection = lane.connection}, now)
    else
      session_follow(session, lane, {id = id, rest = rest, message = message})
    end
    put = put + 1
  end
  reply[#reply + 1] = known or ''
  position = position + 6
end
if put > 0 then
  redis.call('LPUSH', KEYS[1], '')
  redis.call('LTRIM', KEYS[1], 0, 0)
end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[2], cjson.encode(reply), 'EX', ARGV[2])
end
return reply
