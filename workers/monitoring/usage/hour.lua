-- The sums of one hour as one text, field and sums in turn, each on a line of its own. Fields are JSON on one line.
-- A client reads one long text many times faster than thousands of short ones.
-- KEYS  1 hash
return table.concat(redis.call('HGETALL', KEYS[1]), '\n')
