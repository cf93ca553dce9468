"""What a meter learns from answers, and its breaker: what `learn.lua` and `breaker.lua` do, word for word. Pure."""

from typing import Literal

from tasks.contract import FailureCode
from workers.admission.base import Health, Observation
from workers.admission.declared import Ceilings
from workers.admission.meter import Books, Breaker, Level, Taken
from workers.providers.rate_limits import Allowance

#: Weight of the newest answer in a moving average: about the last fifty count.
WEIGHT = 0.04
#: A refusal for the rate multiplies the learned share, at most once in some seconds; it grows back per second.
CUT_FACTOR = 0.7
CUT_SECONDS = 5
CUT_LEAST = 0.01
CUT_RATE = 0.005
#: Seconds to wait where a vendor refuses for the rate and does not say how long.
WAIT = 1
#: Observations of the last half to whole minute that are enough to judge, and the share that may fail.
SLOT = 30
LEAST = 5
SHARE = 0.5
#: Seconds that the breaker stays open at first; each time in a row twice as long.
OPEN_FAILING = 5
OPEN_FATAL = 60
LONGEST = 300
#: Seconds of health after which an earlier opening is forgotten.
FORGET = 60
#: After closing: share of the refill and of each bucket to begin with, and what the share grows by per second.
RAMP_SHARE = 0.2
RAMP_RATE = 0.05

#: `opened`, a failure code or `-`, and the seconds; or `closed`.
Event = tuple[Literal["opened"], str, float] | tuple[Literal["closed"]]


def learn(books: Books, taken: Taken, observation: Observation, ceilings: Ceilings, *, name: str) -> Event | None:
    """Learn from one answer; its usage is settled already.

    Args:
        books: the meter's, up to date; changed in place.
        taken: what the answer's lease took.
        observation: what the answer told.
        ceilings: what its headers said of the vendor's limits.
        name: of the lease.

    Returns:
        What its breaker did, if it did anything.
    """
    _ceiling(books, taken, "requests", ceilings.requests)
    _ceiling(books, taken, "tokens", ceilings.tokens)
    _ceiling(books, taken, "output_tokens", ceilings.output_tokens)
    if observation.rate_limited:
        _refused(books, taken, observation.retry_after)
    elif observation.retry_after is not None:
        _wait(books, observation.retry_after)
    return _breaker(books, observation.health, observation.code, probe=books.breaker.probe == name)


def learn_usage(books: Books, taken: Taken, *, given: float, output: float) -> None:
    """Learn from the usage of one answer: input as the vendor meters it, and output, in tokens."""
    if output <= 0:
        return
    learned = books.learned
    learned.answers += 1
    first = learned.answers == 1
    miss = output / 2 if first else abs(output - learned.average)
    learned.average = _average(learned.average, output, 1 / learned.answers)
    learned.deviation = _average(miss if first else learned.deviation, miss, 1 / (learned.answers + 1))
    if given > 0 and taken.estimate > 0:
        ratio = given / taken.estimate
        learned.spread = _average(learned.spread, abs(ratio - learned.ratio), 1 / (learned.answers + 1))
        learned.ratio = _average(learned.ratio, ratio, 1 / (learned.answers + 1))
    excess = (taken.amounts.input + taken.amounts.output) / (given + output) - 1
    learned.error = _average(learned.error, excess, 1 / learned.answers)


def _average(old: float, new: float, weight: float) -> float:
    return old + (new - old) * max(WEIGHT, weight)


def _ceiling(books: Books, taken: Taken, level: Level, said: Allowance | None) -> None:
    """What the vendor says of a limit: its ceiling per minute, and what was left when it counted this call.

    Since then it has refilled, and calls that are still under way are taken from the level already: what was left can
    only lower it.
    """
    if said is None:
        return
    for bucket in list(books.buckets()):
        if said.remaining is not None and bucket.level == level:
            left = said.remaining + bucket.refill * max(0.0, books.now - taken.at)
            books.levels[level] = min(books.levels[level], left)
    if said.limit is not None:
        books.learned.seen[level] = said.limit


def _wait(books: Books, seconds: float) -> None:
    books.blocked_until = max(books.blocked_until, books.now + seconds)


def _refused(books: Books, taken: Taken, retry_after: float | None) -> None:
    """The vendor refused a call for its rate: its bucket is empty, whatever ours says."""
    _wait(books, WAIT if retry_after is None else retry_after)
    for bucket in books.buckets():
        books.levels[bucket.level] = min(books.levels[bucket.level], 0.0)
    # Calls that were under way at the last cut say nothing new.
    learned = books.learned
    if books.now - learned.cut_at >= CUT_SECONDS and taken.at >= learned.cut_at:
        learned.share = max(CUT_LEAST, books.share_of_refill(books.now) * CUT_FACTOR)
        learned.share_at = learned.cut_at = books.now
        learned.share_rate = CUT_RATE


def _breaker(books: Books, health: Health, code: FailureCode | None, *, probe: bool) -> Event | None:
    breaker = books.breaker
    if health is Health.NONE or breaker.state == "open":
        return None
    if breaker.state == "half_open":
        # Others were called before it opened; what they say is old.
        if not probe:
            return None
        return _close(books) if health is Health.OK else _open(books, health, code)
    if health is Health.FATAL:
        return _open(books, health, code)
    _count(breaker, books.now, failed=health is Health.FAILING)
    bad = breaker.bad + breaker.bad_before
    seen = bad + breaker.good + breaker.good_before
    if health is Health.FAILING and seen >= LEAST and bad > seen * SHARE:
        return _open(books, health, code)
    return None


def _open(books: Books, health: Health, code: FailureCode | None) -> Event:
    breaker = books.breaker
    if breaker.state != "half_open" and breaker.closed_at + FORGET < books.now:
        breaker.trips = 0
    seconds = min(LONGEST, (OPEN_FATAL if health is Health.FATAL else OPEN_FAILING) * 2.0**breaker.trips)
    breaker.trips = min(10, breaker.trips + 1)
    breaker.state, breaker.since = "open", books.now
    breaker.until, breaker.code = books.now + seconds, code.value if code else "-"
    return "opened", breaker.code, seconds


def _close(books: Books) -> Event:
    share = min(RAMP_SHARE, books.share_of_refill(books.now))
    books.breaker = Breaker(since=books.now, closed_at=books.now, trips=books.breaker.trips)
    learned = books.learned
    learned.share, learned.share_at, learned.share_rate = share, books.now, RAMP_RATE
    for bucket in books.buckets():
        books.levels[bucket.level] = min(books.levels[bucket.level], bucket.size * RAMP_SHARE)
    return ("closed",)


def _count(breaker: Breaker, now: float, *, failed: bool) -> None:
    slot = int(now // SLOT)
    if breaker.slot != slot:
        follows = breaker.slot == slot - 1
        breaker.good_before = breaker.good if follows else 0
        breaker.bad_before = breaker.bad if follows else 0
        breaker.good = breaker.bad = 0
        breaker.slot = slot
    if failed:
        breaker.bad += 1
    else:
        breaker.good += 1
