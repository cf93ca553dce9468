-- Dead letters. workers/dead/keys.py draws the layout of the keys.
-- Functions for the scripts that keep letters, hand them out and throw them away.
local DEAD = 'byom:dead:'
-- Letters that one call throws away: the server does nothing else meanwhile.
local AT_ONCE = 100

local function letter_facts(id)
  local bytes, code, project, state =
    string.match(redis.call('HGET', DEAD .. 'facts', id) or '', '^(%d+)\t([^\t]*)\t([^\t]*)\t([^\t]*)$')
  if not bytes then
    return nil
  end
  return {bytes = tonumber(bytes), code = code, project = project, state = state}
end

local function letter_write(id, facts)
  redis.call('HSET', DEAD .. 'facts', id,
    string.format('%.0f\t%s\t%s\t%s', facts.bytes, facts.code, facts.project, facts.state))
end

local function count(code, by)
  if redis.call('HINCRBY', DEAD .. 'causes', code, by) <= 0 then
    redis.call('HDEL', DEAD .. 'causes', code)
  end
end

-- Let a letter count as dead, or as replayed.
local function letter_turn(id, facts, state)
  if facts.state ~= state then
    count(facts.code, state == 'dead' and 1 or -1)
    facts.state = state
    letter_write(id, facts)
  end
end

-- Returns whether it was there.
local function letter_remove(id)
  redis.call('DEL', DEAD .. 'job:' .. id)
  redis.call('ZREM', DEAD .. 'all', id)
  local facts = letter_facts(id)
  if not facts then
    return false
  end
  redis.call('HDEL', DEAD .. 'facts', id)
  redis.call('ZREM', DEAD .. 'project:' .. facts.project, id)
  if redis.call('DECRBY', DEAD .. 'bytes', facts.bytes) <= 0 then
    redis.call('DEL', DEAD .. 'bytes')
  end
  if facts.state == 'dead' then
    count(facts.code, -1)
  end
  return true
end

-- Throw away some of the letters that ended before a moment.
local function letters_expire(before)
  local gone = 0
  for _, id in ipairs(redis.call('ZRANGE', DEAD .. 'all', '-inf', '(' .. before, 'BYSCORE', 'LIMIT', 0, AT_ONCE)) do
    letter_remove(id)
    gone = gone + 1
  end
  if gone > 0 then
    redis.call('HINCRBY', DEAD .. 'dropped', 'expired', gone)
  end
  return gone
end
