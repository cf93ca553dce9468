-- Put one delivery into the outbox; the same id again changes nothing.
-- ARGV  1 now in ms or '', 2 id, 3 target, 4…6 limits, 7… field, value, …
-- Returns 1 when it is new, else 0
local fields = {}
for i = 7, #ARGV do
  fields[#fields + 1] = ARGV[i]
end
return outbox_put(
  ARGV[2], ARGV[3], now_ms(ARGV[1]), fields, {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
)
