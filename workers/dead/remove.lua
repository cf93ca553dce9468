-- Throw letters away: their jobs succeeded, or an operator wants it.
-- ARGV  ids
-- Returns how many there were
local gone = 0
for _, id in ipairs(ARGV) do
  if letter_remove(id) then
    gone = gone + 1
  end
end
return gone
