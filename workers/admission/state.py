"""What operators see of a meter: declared, learned and used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from config.connections import EffectiveConnection
from tasks.contract import FailureCode
from workers.admission.base import Reason
from workers.admission.budget import Counter, Period

#: Fields of a meter's state that are no numbers.
TEXTS = frozenset({"holds", "breaker", "breaker_code", "probe"})


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


def meter_state(
    effective: EffectiveConnection,
    *,
    now: float,
    fields: Mapping[str, float],
    texts: Mapping[str, str],
    buckets: Mapping[str, tuple[float, float, float]],
    share: float,
    in_flight: int,
    reserved_requests: float,
    reserved_tokens: float,
    counters: Sequence[Counter],
    spent: Sequence[int],
) -> MeterState:
    """Put a meter's books into words.

    Args:
        effective: whose meter it is.
        now: seconds since 1970.
        fields: the numbers of the state, by the names that `bucket.lua` gives them.
        texts: its texts.
        buckets: by level: amount, size, refill per second.
        share: the share of the refill that was learned.
        in_flight: leases.
        reserved_requests: of all leases.
        reserved_tokens: of all leases.
        counters: of spend.
        spent: of each, in pico-USD.
    """

    def bucket(level: str, prefix: str) -> BucketState | None:
        if level not in buckets:
            return None
        amount, size, refill = buckets[level]
        return BucketState(
            capacity=fields[f"{prefix}_capacity"],
            per_minute=fields[f"{prefix}_refill"] * 60,
            learned_capacity=size,
            learned_per_minute=refill * share * 60,
            level=amount,
        )

    # As admission checks them: what someone said, what the vendor said, the breaker.
    blocks: list[tuple[float, Reason, str]] = []
    for line in texts.get("holds", "").splitlines():
        reason, end, code = line.split(" ")
        blocks.append((float(end), Reason(reason), code))
    blocks.append((fields.get("blocked_until", 0), Reason.RETRY_AFTER, "-"))
    breaker = BreakerState(texts.get("breaker", BreakerState.CLOSED))
    breaker_code = texts.get("breaker_code", "-")
    if breaker is BreakerState.OPEN:
        blocks.append((fields["breaker_until"], Reason.BREAKER, breaker_code))
    standing = [block for block in blocks if block[0] > now]
    until = max((block[0] for block in standing), default=None)
    return MeterState(
        meter=effective.key,
        at=_instant(now),
        tokens=bucket("tokens", "tpm"),
        output_tokens=bucket("output_tokens", "output_tpm"),
        requests=bucket("requests", "rpm"),
        max_concurrency=int(fields["max_concurrency"]) if "max_concurrency" in fields else None,
        in_flight=in_flight,
        reserved_tokens=round(reserved_tokens),
        reserved_requests=round(reserved_requests),
        blocked_until=None if until is None else _instant(until),
        blocked_by=standing[0][1] if standing else None,
        blocked_code=failure_code(standing[0][2]) if standing else None,
        breaker=breaker,
        breaker_since=_instant(fields["breaker_since"]) if "breaker_since" in fields else None,
        breaker_code=failure_code(breaker_code),
        answers=int(fields.get("answers", 0)),
        average_output=fields.get("average"),
        output_deviation=fields.get("deviation"),
        input_ratio=fields.get("ratio", 1.0),
        estimate_error=fields.get("error"),
        spends=tuple(
            SpendState(connection=counter.connection, period=counter.period, spent=amount, cap=counter.cap)
            for counter, amount in zip(counters, spent, strict=True)
        ),
    )


def failure_code(text: str) -> FailureCode | None:
    """The code that a script names; `-` is none."""
    return None if text == "-" else FailureCode(text)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
