"""How long work takes at the limits that stand in its way. Pure; amounts are tokens, requests, USD and seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Final

#: Days or months to come that a cap is reckoned with; who hears of them knows enough.
_MOST_PERIODS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Something that comes back at a rate."""

    #: For people, such as `tokens per minute`.
    name: str
    per_minute: float
    #: What can be taken at once.
    level: float = 0.0
    #: What the work takes of it.
    needed: float
    #: What waits already and goes first.
    before: float = 0.0
    #: What live jobs take of it in a minute.
    live: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap on spend by calendar day or month in UTC."""

    name: str
    monthly: bool
    amount: Decimal
    #: In the day or month that is now.
    spent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long it takes, and what it is that takes so long."""

    #: None where nothing says how fast it can go.
    seconds: float | None
    bound_by: str | None


def pace(
    limits: Sequence[Limit],
    *,
    floor: float,
    call_seconds: float | None = None,
    at_once: int | None = None,
    caps: Sequence[Cap] = (),
    cost: Decimal | None = None,
    now: datetime,
) -> Pace:
    """The longest of what each limit takes.

    Args:
        limits: what is needed of each.
        floor: the share of a limit that backfills get, however much live jobs want.
        call_seconds: how long all calls take one after another, where it is known.
        at_once: calls that may be in flight together; None: any number.
        caps: on what they spend.
        cost: of all of them; None where it is not known: caps then do not count it either.
        now: when they begin.
    """
    spans = [(_seconds(limit, floor=floor), limit.name) for limit in limits if limit.per_minute > 0]
    if at_once is not None and call_seconds is not None:
        spans.append((call_seconds / at_once, "calls in flight"))
    if cost is not None:
        spans += [(_until_paid(cap, cost, now), cap.name) for cap in caps]
    seconds, name = max(spans, default=(None, None))
    return Pace(seconds=seconds, bound_by=name)


def _seconds(limit: Limit, *, floor: float) -> float:
    rate = max(limit.per_minute - limit.live, limit.per_minute * floor) / 60
    return max(0.0, limit.needed + limit.before - max(0.0, limit.level)) / rate


def _until_paid(cap: Cap, cost: Decimal, now: datetime) -> float:
    """Seconds until a cap has let through so much."""
    left = cost - max(Decimal(0), cap.amount - cap.spent)
    if left <= 0:
        return 0.0
    periods = min(_MOST_PERIODS, ceil(left / cap.amount))
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if cap.monthly:
        years, months = divmod(today.month - 1 + periods, 12)
        begins = today.replace(year=today.year + years, month=months + 1, day=1)
    else:
        begins = today + timedelta(days=periods)
    return (begins - now).total_seconds()
