-- Throw away some of the letters whose jobs ended before a moment.
-- ARGV  1 that moment in s
-- Returns how many
return letters_expire(ARGV[1])
