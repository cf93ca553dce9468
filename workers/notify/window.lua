-- Functions of windows: what is folded over one, per project, provider and model.
--
-- byom:events:open             window → when it ends, in ms
-- byom:events:window:<name>    about, ends, first, last, count, cause:<code> → how many
local WINDOWS = 'byom:events:window:'
local OPEN = 'byom:events:open'

-- Keep an event in a stream, and hand it on to those who subscribe.
local function event_emit(stream, kept, id, event, fields, now, limits)
  redis.call('XADD', stream, 'MAXLEN', '~', kept, '*', 'event', event)
  if fields then
    fields[#fields + 1] = 'body'
    fields[#fields + 1] = event
    outbox_put(id .. '@events', 'events', now, fields, limits)
  end
end

-- End a window: one event for all that happened in it. Returns the event, or nil when the window is gone.
local function window_close(name, stream, kept, now, limits)
  redis.call('ZREM', OPEN, name)
  local window, causes = {}, {}
  local stored = redis.call('HGETALL', WINDOWS .. name)
  redis.call('DEL', WINDOWS .. name)
  for i = 1, #stored, 2 do
    window[stored[i]] = stored[i + 1]
    if string.sub(stored[i], 1, 6) == 'cause:' then
      causes[string.sub(stored[i], 7)] = tonumber(stored[i + 1])
    end
  end
  if not window.about then
    return nil
  end
  local data = cjson.decode(window.about)
  local kind = data.type
  data.type = nil
  data.count = tonumber(window.count)
  data.first_occurrence = tonumber(window.first)
  data.last_occurrence = tonumber(window.last)
  data.causes = causes
  local id = 'evt_' .. name .. '_' .. window.first
  local event = cjson.encode({id = id, type = kind, timestamp = tonumber(window.ends), data = data})
  local fields = {'project', data.project, 'kind', kind, 'message', id}
  event_emit(stream, kept, id, event, fields, now, limits)
  return event
end

