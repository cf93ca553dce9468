-- What a meter learns from answers. Uses bucket.lua.

-- Weight of the newest answer in a moving average: about the last fifty count.
local LEARN_WEIGHT = 0.04
-- A refusal for the rate multiplies the learned share, at most once in some seconds; it grows back per second.
local LEARN_CUT = {factor = 0.7, seconds = 5, least = 0.01, rate = 0.005}
-- Seconds to wait where a vendor refuses for the rate and does not say how long.
local LEARN_WAIT = 1

local function learn_average(old, new, weight)
  return old + (new - old) * math.max(LEARN_WEIGHT, weight)
end

-- Usage of one answer: input as the vendor meters it, and output, in tokens.
local function learn_usage(meter, taken, input, output)
  if output <= 0 then
    return
  end
  local answers = (meter.answers or 0) + 1
  local before = meter.average or 0
  local miss = answers == 1 and output / 2 or math.abs(output - before)
  bucket_set(meter, 'answers', answers)
  bucket_set(meter, 'average', learn_average(before, output, 1 / answers))
  bucket_set(meter, 'deviation', learn_average(meter.deviation or miss, miss, 1 / (answers + 1)))
  if input > 0 and taken.estimate > 0 then
    local ratio, known = input / taken.estimate, meter.ratio or 1
    bucket_set(meter, 'spread', learn_average(meter.spread or 0, math.abs(ratio - known), 1 / (answers + 1)))
    bucket_set(meter, 'ratio', learn_average(known, ratio, 1 / (answers + 1)))
  end
  local excess = (taken.input + taken.output) / (input + output) - 1
  bucket_set(meter, 'error', learn_average(meter.error or 0, excess, 1 / answers))
end

-- What the vendor says of a limit: its ceiling per minute, and what was left when it counted this call. Since then it
-- has refilled, and calls that are still under way are taken from the level already: what was left can only lower it.
local function learn_ceiling(meter, taken, kind, limit, remaining)
  if limit then
    bucket_set(meter, kind.seen, limit)
  end
  for _, bucket in ipairs(meter.buckets) do
    if bucket.level == kind.level then
      if remaining then
        bucket.amount = math.min(bucket.amount, remaining + bucket.refill * math.max(0, meter.now - taken.at))
      end
      bucket.size, bucket.refill = bucket_limits(meter, kind)
    end
  end
end

local function learn_wait(meter, seconds)
  bucket_set(meter, 'blocked_until', math.max(meter.blocked_until or 0, meter.now + seconds))
end

-- The vendor refused a call for its rate: its bucket is empty, whatever ours says.
local function learn_refused(meter, taken, retry_after)
  learn_wait(meter, retry_after or LEARN_WAIT)
  for _, bucket in ipairs(meter.buckets) do
    bucket.amount = math.min(bucket.amount, 0)
  end
  -- Calls that were under way at the last cut say nothing new.
  local cut_at = meter.cut_at or 0
  if meter.now - cut_at >= LEARN_CUT.seconds and taken.at >= cut_at then
    bucket_set(meter, 'share', math.max(LEARN_CUT.least, bucket_share(meter, meter.now) * LEARN_CUT.factor))
    bucket_set(meter, 'share_at', meter.now)
    bucket_set(meter, 'share_rate', LEARN_CUT.rate)
    bucket_set(meter, 'cut_at', meter.now)
  end
end
