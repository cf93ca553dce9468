"""Spend caps: which counters a call counts in, and until when. Pure.

A cap is a customer's own bound on spend, by calendar day or month in UTC. Nothing about it is a rate limit.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from config.connections import EffectiveConnection
from config.prices import PICO
from workers.admission.keys import spend_key

SECONDS_PER_DAY = 86_400
_EPOCH = date(1970, 1, 1)

Period = Literal["day", "month"]
#: Days that a counter is kept after its period, for operators to look back.
_KEPT_DAYS: dict[Period, int] = {"day": 7, "month": 62}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The spend of a project, or of one of its connections, in one period."""

    key: str
    period: Period
    #: None for the project as a whole.
    connection: str | None
    #: Pico-USD; None: counted, not capped.
    cap: int | None
    #: Seconds since 1970.
    ends: int
    #: Seconds from the period's beginning until the counter may be forgotten.
    kept: int
    #: Whether jobs are to fail at the cap instead of waiting.
    fails: bool


def pico_usd(amount: Decimal) -> int:
    """USD in pico-USD, rounded to the nearest."""
    return round(amount * PICO)


def usd(pico: int) -> Decimal:
    """Pico-USD in USD, exactly."""
    return Decimal(pico) / PICO


def day_of(seconds: float) -> int:
    """Days since 1970, in UTC, of an instant in seconds since then."""
    return int(seconds // SECONDS_PER_DAY)


def counters(effective: EffectiveConnection, day: int) -> tuple[Counter, ...]:
    """The counters of a connection's spend on a day (days since 1970): of the connection, then of its project."""
    today = _EPOCH + timedelta(days=day)
    first = today.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    spans: tuple[tuple[Period, str, date, date], ...] = (
        ("day", f"d{today:%Y%m%d}", today, today + timedelta(days=1)),
        ("month", f"m{today:%Y%m}", first, next_month),
    )
    connection, profile = effective.connection, effective.profile
    scopes = (
        (connection.name, connection.spend_cap_day_usd, connection.spend_cap_month_usd, connection.on_spend_cap),
        (None, profile.spend_cap_day_usd, profile.spend_cap_month_usd, profile.on_spend_cap),
    )
    return tuple(
        Counter(
            key=spend_key(effective.tenant, effective.project, name, label),
            period=period,
            connection=name,
            cap=None if (cap := day_cap if period == "day" else month_cap) is None else pico_usd(cap),
            ends=_seconds(end),
            kept=_seconds(end) - _seconds(start) + _KEPT_DAYS[period] * SECONDS_PER_DAY,
            fails=on_cap == "fail",
        )
        for name, day_cap, month_cap, on_cap in scopes
        for period, label, start, end in spans
    )


def _seconds(when: date) -> int:
    return int(datetime(when.year, when.month, when.day, tzinfo=UTC).timestamp())
