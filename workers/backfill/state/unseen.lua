-- Which entries were not taken in hand before.
-- KEYS  1 where the keys of ids begin
-- ARGV  ids
-- Returns 1 or 0 for each
local fresh = {}
for i, id in ipairs(ARGV) do
  fresh[i] = seen(KEYS[1], id) and 0 or 1
end
return fresh
