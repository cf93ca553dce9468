"""What operators see of a meter: declared, learned and used."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from tasks.contract import FailureCode
from workers.admission.base import Reason
from workers.admission.budget import Counter, Period

#: Fields of a meter's state that are no numbers.
_TEXTS: Final = frozenset({"holds", "breaker", "breaker_code", "probe"})

_CODES: Final = {code.value: code for code in FailureCode}


class BreakerState(StrEnum):
    """Whether a connection is used."""

    CLOSED = "closed"
    #: Left alone until its time is up.
    OPEN = "open"
    #: One call is under way to see whether it works again.
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """One limit of a meter; amounts are tokens or requests."""

    #: What may be taken at once, and what comes back in a minute, as they are declared.
    capacity: float
    per_minute: float
    #: The same, as the vendor's answers showed them; never more than declared. A little of the capacity is never used.
    learned_capacity: float
    learned_per_minute: float
    #: What can be taken now; below zero: a debt, after answers that were larger than expected.
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendState:
    """The spend of a project, or of one of its connections, in the current day or month (UTC)."""

    #: None for the project as a whole.
    connection: str | None
    period: Period
    #: Pico-USD, with what calls under way are expected to cost.
    spent: int
    cap: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """A meter as it stands."""

    #: As `EffectiveConnection.key`.
    meter: str
    at: datetime
    tokens: BucketState | None
    #: Where the vendor meters output apart.
    output_tokens: BucketState | None
    requests: BucketState | None
    max_concurrency: int | None
    #: Leases that are out: calls under way, and jobs that were fetched and have not called yet.
    in_flight: int
    #: What they set aside.
    reserved_tokens: int
    reserved_requests: int
    #: Until when nobody is admitted, and why; None when nothing stands in the way but the limits themselves.
    blocked_until: datetime | None
    blocked_by: Reason | None
    blocked_code: FailureCode | None
    breaker: BreakerState
    #: Since when it is in this state; None if it never changed.
    breaker_since: datetime | None
    #: Why it is not closed.
    breaker_code: FailureCode | None
    #: Answers that the averages were learned from.
    answers: int
    average_output: float | None
    #: Mean deviation of the output from its average.
    output_deviation: float | None
    #: Input as the vendor meters it, over the estimate.
    input_ratio: float
    #: How much more was set aside than used, as a share of what was used; moving average.
    estimate_error: float | None
    spends: tuple[SpendState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A meter's books in numbers and texts, as `read.lua` and the twin in memory give them."""

    #: Seconds since 1970.
    now: float
    #: The numbers of the state, by the names that `bucket.lua` gives them.
    fields: Mapping[str, float]
    #: Its texts.
    texts: Mapping[str, str]
    #: By level: amount, size, refill per second.
    buckets: Mapping[str, tuple[float, float, float]]
    #: The share of the refill that was learned.
    share: float
    #: Leases, and what all of them set aside.
    in_flight: int
    reserved_requests: float
    reserved_tokens: float

    @classmethod
    def of(cls, answer: Sequence[Any]) -> Self:
        """What `read.lua` answers, but for the spends."""
        now, pairs, levels, share, in_flight, reserved = answer[:6]
        named = {name.decode(): value.decode() for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        amounts = zip(levels[1::4], levels[2::4], levels[3::4], strict=True)
        requests, given, output, _ = map(float, reserved)
        return cls(
            now=float(now),
            fields={name: float(value) for name, value in named.items() if name not in _TEXTS},
            texts={name: value for name, value in named.items() if name in _TEXTS},
            buckets={
                level.decode(): (float(amount), float(size), float(refill))
                for level, (amount, size, refill) in zip(levels[::4], amounts, strict=True)
            },
            share=float(share),
            in_flight=int(float(in_flight)),
            reserved_requests=requests,
            reserved_tokens=given + output,
        )


def meter_state(meter: str, figures: Figures, *, spends: Iterable[tuple[Counter, int]] = ()) -> MeterState:
    """Put a meter's books into words.

    Args:
        meter: its name, as `EffectiveConnection.key`.
        figures: the books.
        spends: counters, and what is spent of each in pico-USD.
    """
    fields, texts = figures.fields, figures.texts
    standing = [block for block in _blocks(fields, texts) if block[0] > figures.now]
    _, blocked_by, blocked_code = standing[0] if standing else (0, None, "-")
    return MeterState(
        meter=meter,
        at=_instant(figures.now),
        tokens=_bucket(figures, "tokens", "tpm"),
        output_tokens=_bucket(figures, "output_tokens", "output_tpm"),
        requests=_bucket(figures, "requests", "rpm"),
        max_concurrency=int(fields["max_concurrency"]) if "max_concurrency" in fields else None,
        in_flight=figures.in_flight,
        reserved_tokens=round(figures.reserved_tokens),
        reserved_requests=round(figures.reserved_requests),
        blocked_until=_instant(max(end for end, _, _ in standing)) if standing else None,
        blocked_by=blocked_by,
        blocked_code=failure_code(blocked_code),
        breaker=BreakerState(texts.get("breaker", BreakerState.CLOSED)),
        breaker_since=_instant(fields["breaker_since"]) if "breaker_since" in fields else None,
        breaker_code=failure_code(texts.get("breaker_code", "-")),
        answers=int(fields.get("answers", 0)),
        average_output=fields.get("average"),
        output_deviation=fields.get("deviation"),
        input_ratio=fields.get("ratio", 1.0),
        estimate_error=fields.get("error"),
        spends=tuple(
            SpendState(connection=counter.connection, period=counter.period, spent=amount, cap=counter.cap)
            for counter, amount in spends
        ),
    )


def _bucket(figures: Figures, level: str, prefix: str) -> BucketState | None:
    if level not in figures.buckets:
        return None
    amount, size, refill = figures.buckets[level]
    return BucketState(
        capacity=figures.fields[f"{prefix}_capacity"],
        per_minute=figures.fields[f"{prefix}_refill"] * 60,
        learned_capacity=size,
        learned_per_minute=refill * figures.share * 60,
        level=amount,
    )


def _blocks(fields: Mapping[str, float], texts: Mapping[str, str]) -> Iterator[tuple[float, Reason, str]]:
    """When what stands or stood in the way ends, and why, as admission checks: somebody, the vendor, the breaker."""
    for line in texts.get("holds", "").splitlines():
        reason, end, code = line.split(" ")
        yield float(end), Reason(reason), code
    yield fields.get("blocked_until", 0), Reason.RETRY_AFTER, "-"
    if texts.get("breaker") == BreakerState.OPEN:
        yield fields["breaker_until"], Reason.BREAKER, texts.get("breaker_code", "-")


def failure_code(text: str) -> FailureCode | None:
    """The code that a script names; None for `-`, and for one that only newer workers know."""
    return _CODES.get(text)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
