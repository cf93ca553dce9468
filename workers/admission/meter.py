"""The rules of one meter in plain Python: what `bucket.lua` does on the server, word for word.

A meter is what a vendor meters: a credential and a model. It has up to three buckets (requests, tokens, and output
tokens where they are metered apart), a bound on leases, and what was learned. Pure: time is an argument.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from workers.admission.base import Reason
from workers.admission.declared import Declared

#: Never used: what the network may shift between our taking and the vendor's counting. A share of the capacity (not of
#: requests, which are few and whole), or seconds of refill, whichever is more.
MARGIN_SHARE = 0.01
MARGIN_SECONDS = 0.25
#: A microsecond's refill more or less is rounding, not lack.
ROUNDING = 1e-6
#: Answers after which their average is trusted; before that the cap is set aside, or this many tokens without one.
TRUSTED = 5
UNKNOWN = 1_000
#: Mean deviations above the average that are set aside, of the output and of the input's ratio.
SAFETY = 2
#: What has to stay in a bucket of output when a call is let in, so that one answer may be far longer than others: so
#: many mean deviations, but no more than a share of the bucket. It is not taken, so that it serves all calls under way.
CUSHION_DEVIATIONS = 10
CUSHION_SHARE = 0.1
#: Seconds after which to ask again where only an answer is waited for, which may come at any moment.
ASK_AGAIN = 0.1
#: Expired leases that one call clears away at most.
SWEEP = 100

Level = Literal["requests", "tokens", "output_tokens"]
_REASONS: Mapping[Level, Reason] = {
    "requests": Reason.REQUESTS,
    "tokens": Reason.TOKENS,
    "output_tokens": Reason.TOKENS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Requests and tokens, taken or given back."""

    requests: float
    input: float
    output: float

    def __neg__(self) -> "Amounts":
        return Amounts(requests=-self.requests, input=-self.input, output=-self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a meter."""

    #: Estimated, uncorrected.
    input: float
    #: The cap of one answer; 0 is not known.
    output: float
    calls: int = 1
    #: The vendor sets the whole cap aside while the call is under way.
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a lease took."""

    kind: Literal["fetch", "call"]
    at: float
    amounts: Amounts
    #: Input as it was estimated.
    estimate: float
    #: Pico-USD.
    spend: float = 0
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One limit, as far as it is used."""

    level: Level
    size: float
    #: Per second.
    refill: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What someone said: nobody is to call."""

    until: float
    code: str


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Whether the connection is used, and what its answers of the last minute were."""

    state: Literal["closed", "open", "half_open"] = "closed"
    since: float | None = None
    until: float = 0
    code: str = "-"
    probe: str | None = None
    #: Openings in a row.
    trips: int = 0
    closed_at: float = 0
    #: Half-minutes since 1970, and what was seen in this one and in the one before.
    slot: int | None = None
    good: int = 0
    bad: int = 0
    good_before: int = 0
    bad_before: int = 0


@dataclass(slots=True, kw_only=True)
class Learned:
    """What answers taught."""

    #: The vendor's own limits, per minute.
    seen: dict[Level, float] = field(default_factory=dict)
    #: The share of the refill that is used: as it was at a time, growing by so much a second until it is 1.
    share: float = 1
    share_at: float = 0
    share_rate: float = 1
    cut_at: float = 0
    answers: int = 0
    average: float = 0
    deviation: float = 0
    ratio: float = 1
    #: Mean deviation of that ratio.
    spread: float = 0
    error: float = 0


@dataclass(slots=True, kw_only=True)
class Books:
    """All that is known of a meter at an instant."""

    declared: Declared = field(default_factory=Declared)
    at: float | None = None
    levels: dict[Level, float] = field(default_factory=dict)
    blocked_until: float = 0
    holds: dict[Reason, Hold] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    learned: Learned = field(default_factory=Learned)
    leases: dict[str, Taken] = field(default_factory=dict)

    def copy(self) -> "Books":
        """A copy that may be changed without a trace."""
        return replace(
            self,
            levels=dict(self.levels),
            holds=dict(self.holds),
            breaker=replace(self.breaker),
            learned=replace(self.learned, seen=dict(self.learned.seen)),
            leases=dict(self.leases),
        )

    @property
    def now(self) -> float:
        """When the books were brought up to date."""
        assert self.at is not None  # noqa: S101 - they are, before anything is asked of them
        return self.at

    @property
    def apart(self) -> bool:
        """Whether output is metered apart from input."""
        return bool(self.declared.output_tpm_capacity)

    def buckets(self) -> Iterator[Bucket]:
        """The limits, in the order in which they are checked."""
        limits: tuple[tuple[Level, float | None, float | None, float], ...] = (
            ("requests", self.declared.rpm_capacity, self.declared.rpm_refill, 0),
            ("tokens", self.declared.tpm_capacity, self.declared.tpm_refill, MARGIN_SHARE),
            ("output_tokens", self.declared.output_tpm_capacity, self.declared.output_tpm_refill, MARGIN_SHARE),
        )
        for level, capacity, refill, share in limits:
            if not capacity or refill is None:
                continue
            seen = self.learned.seen.get(level)
            size, speed = (capacity, refill) if seen is None else (min(capacity, seen), min(refill, seen / 60))
            margin = min(size / 2, max(size * share, speed * MARGIN_SECONDS))
            yield Bucket(level=level, size=size - margin, refill=speed)

    def amount(self, level: Level, amounts: Amounts) -> float:
        """What requests and tokens come to in one bucket."""
        match level:
            case "requests":
                return amounts.requests
            case "output_tokens":
                return amounts.output
            case "tokens":
                return amounts.input if self.apart else amounts.input + amounts.output

    def add(self, amounts: Amounts) -> None:
        """Give to all levels, or take; none rises above its bucket's size."""
        for bucket in self.buckets():
            level = self.levels[bucket.level] + self.amount(bucket.level, amounts)
            self.levels[bucket.level] = min(bucket.size, level)

    @property
    def whole_at(self) -> float:
        """When the whole refill is used again."""
        return self.learned.share_at + (1 - self.learned.share) / self.learned.share_rate

    def share_of_refill(self, at: float) -> float:
        """The share of the refill that is used at an instant."""
        return 1 if at >= self.whole_at else self.learned.share + self.learned.share_rate * (at - self.learned.share_at)

    def seconds(self, start: float, end: float) -> float:
        """Seconds of full refill that a span of time brings."""
        seconds, ramp = max(0.0, end - max(start, self.whole_at)), min(end, self.whole_at)
        if start < ramp:
            learned = self.learned
            first = learned.share + learned.share_rate * (start - learned.share_at)
            last = learned.share + learned.share_rate * (ramp - learned.share_at)
            seconds += (first + last) / 2 * (ramp - start)
        return seconds

    def time(self, seconds: float) -> float:
        """Time from now in which so many seconds of full refill come."""
        growing = self.seconds(self.now, max(self.now, self.whole_at))
        if seconds >= growing:
            return max(0.0, self.whole_at - self.now) + seconds - growing
        share, rate = self.share_of_refill(self.now), self.learned.share_rate
        return (math.sqrt(share * share + 2 * rate * seconds) - share) / rate

    def costs(self, wish: Wish) -> Amounts:
        """What a wish is taken to cost, by what was learned."""
        output: float = UNKNOWN
        if self.learned.answers >= TRUSTED:
            output = math.ceil(self.learned.average + SAFETY * self.learned.deviation)
        elif wish.output > 0:
            output = wish.output
        if wish.output > 0:
            output = wish.output if wish.whole else min(output, wish.output)
        return Amounts(
            requests=wish.calls,
            input=math.ceil(wish.input * (self.learned.ratio + SAFETY * self.learned.spread)),
            output=output * wish.calls,
        )

    def cushion(self, bucket: Bucket) -> float:
        """What has to stay in a bucket when a call is let in."""
        if bucket.level == "requests" or (self.apart and bucket.level == "tokens"):
            return 0.0
        return min(bucket.size * CUSHION_SHARE, CUSHION_DEVIATIONS * self.learned.deviation)


@dataclass(slots=True, kw_only=True)
class Plan:
    """What would follow from a wish; nothing is taken yet."""

    books: Books
    taken: Amounts
    #: The lease was granted before, and its answer lost.
    again: bool = False
    probing: bool = False
    #: What is short: seconds until it is not, why, and a failure code or `-`; the first in the order of checks leads.
    short: list[tuple[float, Reason, str]] = field(default_factory=list)

    @property
    def wait(self) -> float:
        """Seconds until the wish could be granted, as things stand."""
        return max((seconds for seconds, _, _ in self.short), default=0.0)


class Meter:
    """One meter and its leases."""

    def __init__(self) -> None:
        self.books = Books()

    def load(self, now: float) -> Books:
        """A copy of the books as they are now: refilled, and without leases that have run out.

        A clock that steps back counts as standing still. That time passes changes nothing: only what is saved counts.
        """
        books = self.books.copy()
        since = books.at
        books.at = now if since is None else max(now, since)
        for bucket in books.buckets():
            level = books.levels.get(bucket.level, bucket.size)
            passed = 0.0 if since is None else books.seconds(since, books.at)
            books.levels[bucket.level] = min(bucket.size, level + bucket.refill * passed)
        if self._sweep(books):
            self.books = books.copy()
        return books

    @staticmethod
    def _sweep(books: Books) -> bool:
        """Clear away leases that ran out; True when there were any.

        What was set aside at fetching comes back, for no call was made. A call may have been counted by its vendor, so
        what it took stays taken.
        """
        expired = sorted((taken.expires, name) for name, taken in books.leases.items() if taken.expires <= books.now)
        for _, name in expired[:SWEEP]:
            taken = books.leases.pop(name)
            if taken.kind == "fetch":
                books.add(taken.amounts)
        return bool(expired)

    def plan(self, wish: Wish, *, name: str, replaces: str | None, now: float) -> Plan:
        """What would follow from a wish."""
        books = self.load(now)
        if name in books.leases:
            return Plan(books=books, taken=books.leases[name].amounts, again=True)
        replaced = books.leases.pop(replaces, None) if replaces else None
        if replaced:
            books.add(replaced.amounts)
        plan = Plan(books=books, taken=books.costs(wish))
        self._hindrances(plan, replaces)
        for bucket in books.buckets():
            # What is larger than the bucket has to wait until it is full, and leaves a debt.
            needed = min(bucket.size, books.amount(bucket.level, plan.taken) + books.cushion(bucket))
            lacking = (needed - books.levels[bucket.level]) / bucket.refill
            if lacking > ROUNDING:
                plan.short.append((books.time(lacking), _REASONS[bucket.level], "-"))
        return plan

    def _hindrances(self, plan: Plan, replaces: str | None) -> None:
        """What stands in the way beside the buckets."""
        books, short = plan.books, plan.short
        for reason, hold in books.holds.items():
            if hold.until > books.now:
                short.append((hold.until - books.now, reason, hold.code))
        if books.blocked_until > books.now:
            short.append((books.blocked_until - books.now, Reason.RETRY_AFTER, "-"))
        breaker = books.breaker
        if breaker.state == "open" and breaker.until > books.now:
            short.append((breaker.until - books.now, Reason.BREAKER, breaker.code))
        elif breaker.state == "open":
            plan.probing = True
        elif breaker.state == "half_open":
            probe = books.leases.get(breaker.probe) if breaker.probe and breaker.probe != replaces else None
            if probe:
                # Why it is left alone is an open question until the probe is answered.
                soon = max(0.0, min(ASK_AGAIN, probe.expires - books.now))
                short.append((soon, Reason.BREAKER, "-"))
            else:
                plan.probing = True
        bound = books.declared.max_concurrency
        if bound is not None and len(books.leases) >= bound:
            # The one that would be replaced runs out, too.
            first = min(taken.expires for taken in self.books.leases.values())
            short.append((max(0.0, min(ASK_AGAIN, first - books.now)), Reason.CONCURRENCY, "-"))

    def commit(self, plan: Plan, taken: Taken, *, name: str) -> None:
        """Take what was planned."""
        books = plan.books
        books.add(-taken.amounts)
        if plan.probing:
            if books.breaker.state != "half_open":
                books.breaker.state, books.breaker.since = "half_open", books.now
            books.breaker.probe = name
        books.leases[name] = taken
        self.books = books

    def take(
        self, wish: Wish, *, name: str, seconds: float, kind: Literal["fetch", "call"], replaces: str | None, now: float
    ) -> Plan:
        """Take a lease, if nothing stands in the way."""
        plan = self.plan(wish, name=name, replaces=replaces, now=now)
        if not plan.short and not plan.again:
            at = plan.books.now
            taken = Taken(kind=kind, at=at, amounts=plan.taken, estimate=wish.input, expires=at + seconds)
            self.commit(plan, taken, name=name)
        return plan

    def close(self, name: str, *, now: float) -> tuple[Books, Taken] | None:
        """Take a lease out of the books; None when it is not held. The books are the caller's to save."""
        books = self.load(now)
        taken = books.leases.pop(name, None)
        return None if taken is None else (books, taken)

    def refund(self, name: str, *, now: float) -> bool:
        """Give a lease back whole; False when it is not held."""
        closed = self.close(name, now=now)
        if closed is None:
            return False
        self.books, taken = closed
        self.books.add(taken.amounts)
        return True
