-- Take letters in hand for a replay, so that no two operators replay the same one.
-- ARGV  1 now in s, 2 seconds until others may, 3 '1' to take replayed ones too, then ids
-- Returns one word for each: 'claimed' | 'busy' | 'replayed' | 'gone'
local now, words = tonumber(ARGV[1]), {}
for position = 4, #ARGV do
  local id = ARGV[position]
  local key, facts = DEAD .. 'job:' .. id, letter_facts(id)
  local word
  if not facts or redis.call('EXISTS', key) == 0 then
    word = 'gone'
  elseif facts.state == 'replayed' and ARGV[3] ~= '1' then
    word = 'replayed'
  elseif tonumber(redis.call('HGET', key, 'claimed') or '0') > now then
    word = 'busy'
  else
    redis.call('HSET', key, 'claimed', string.format('%.6f', now + tonumber(ARGV[2])))
    word = 'claimed'
  end
  words[#words + 1] = word
end
return words
