-- Where the id of an entry is kept: by its first twelve bits.
local function seen_place(prefix, id)
  return prefix .. (string.byte(id, 1) * 16 + math.floor(string.byte(id, 2) / 16))
end

-- Whether an id was taken in hand before.
local function seen(prefix, id)
  local ids = redis.call('GET', seen_place(prefix, id))
  local from = 1
  while ids do
    local at = string.find(ids, id, from, true)
    if not at then
      return false
    end
    if (at - 1) % 16 == 0 then
      return true
    end
    from = at + 1
  end
  return false
end

