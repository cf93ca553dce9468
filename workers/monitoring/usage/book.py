"""Keeps what was read of past hours, so that a page reads only what may still change.

An hour is closed once no call that began in it can still be under way. Closed hours are read once: those of the last
two days are kept as they are, older ones are added up to whole days (UTC). Memory is so bounded by the combinations of
dimensions that occur in a day, times the days asked for.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic

from workers.clock import Clock
from workers.monitoring.usage.sums import Hourly, Kind, Sums, added_up

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: After the end of an hour, how long calls that began in it may still be settled; longer than any call may take.
OPEN = 2 * HOUR
#: How long hours are kept one by one; older ones are days.
_HOURLY = 2 * DAY
#: Days that are kept at most.
_DAYS = 92
#: Seconds that what may still change is trusted.
_FRESH = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Generic[Kind]):
    """The sums of one hour or one day."""

    start: datetime
    length: timedelta
    table: Mapping[Kind, Sums]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Generic[Kind]):
    """What is known of a span of time, oldest first."""

    slices: Sequence[Slice[Kind]]
    #: Slices that could not be read in the time that was given; they are the oldest ones.
    missing: int = 0


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour that holds an instant, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """The beginning of the day that holds an instant, in UTC."""
    return hour_of(at).replace(hour=0)


class UsageBook(Generic[Kind]):
    """Sums of the past, by hour or by day. Safe for threads."""

    def __init__(self, source: Hourly[Kind], *, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hours: dict[datetime, Mapping[Kind, Sums]] = {}
        self._days: dict[datetime, Mapping[Kind, Sums]] = {}
        self._open: dict[datetime, Mapping[Kind, Sums]] = {}
        self._opened_at = float("-inf")

    @property
    def now(self) -> datetime:
        """The present, by the clock that decides which hours are closed."""
        return self._clock.now()

    def span(self, length: timedelta, *, patience: float | None = None) -> Span[Kind]:
        """The sums of the time since so long ago, the present hour included.

        Up to two days it is hours; beyond that it is whole days.

        Args:
            length: how far back.
            patience: seconds to spend on reading what was never read before; newest comes first. None: all of it.

        Raises:
            redis.RedisError: they cannot be read.
        """
        with self._lock:
            now = self._clock.now()
            self._forget(now)
            deadline = None if patience is None else self._monotonic() + patience
            if length <= _HOURLY:
                return self._by_hours(now, length)
            return self._by_days(now, length, deadline)

    def known(self) -> Span[Kind]:
        """Whatever is kept at present, without reading anything."""
        with self._lock:
            kept = [(start, DAY, table) for start, table in self._days.items()]
            kept += [(start, HOUR, table) for start, table in (self._hours | self._open).items()]
        return Span(
            slices=[Slice(start=start, length=length, table=table) for start, length, table in sorted(kept, key=_start)]
        )

    def _by_hours(self, now: datetime, length: timedelta) -> Span[Kind]:
        last = hour_of(now)
        count = max(1, length // HOUR)
        hours = [last - number * HOUR for number in reversed(range(count))]
        self._read_open(now)
        self._read_closed([hour for hour in hours if hour not in self._hours and hour not in self._open])
        return Span(slices=[Slice(start=hour, length=HOUR, table=self._hour(hour)) for hour in hours])

    def _by_days(self, now: datetime, length: timedelta, deadline: float | None) -> Span[Kind]:
        today = day_of(now)
        days = [today - number * DAY for number in range(max(1, length // DAY))]
        self._read_open(now)
        slices: list[Slice[Kind]] = []
        for day in days:
            read = self._day(day, now, deadline)
            if read is None:
                break
            slices.append(Slice(start=day, length=DAY, table=read))
        return Span(slices=slices[::-1], missing=len(days) - len(slices))

    def _day(self, day: datetime, now: datetime, deadline: float | None) -> Mapping[Kind, Sums] | None:
        """The sums of a day; None when there is no time left to read it."""
        if day in self._days:
            return self._days[day]
        hours = [hour for number in range(24) if (hour := day + number * HOUR) <= now]
        wanted = [hour for hour in hours if hour not in self._hours and hour not in self._open]
        if wanted and deadline is not None and self._monotonic() >= deadline:
            return None
        old = day + DAY <= now - _HOURLY
        if not old:
            self._read_closed(wanted)
            return added_up(self._hour(hour) for hour in hours)
        # Hours of old days are added up as they come, and not kept.
        self._days[day] = added_up([self._source.total(wanted), *(self._hour(hour) for hour in hours)])
        return self._days[day]

    def _hour(self, hour: datetime) -> Mapping[Kind, Sums]:
        return self._open.get(hour) or self._hours.get(hour) or {}

    def _read_open(self, now: datetime) -> None:
        """Read what may still change, at most every other second."""
        first = hour_of(now - OPEN)
        hours = [first + number * HOUR for number in range((hour_of(now) - first) // HOUR + 1)]
        if list(self._open) == hours and self._monotonic() < self._opened_at + _FRESH:
            return
        self._open = dict(zip(hours, self._source.read(hours), strict=True))
        self._opened_at = self._monotonic()

    def _read_closed(self, hours: Sequence[datetime]) -> None:
        if hours:
            self._hours |= zip(hours, self._source.read(hours), strict=True)

    def _forget(self, now: datetime) -> None:
        """Drop hours that are kept as days, and days that nobody asks for any more."""
        if oldest := [hour for hour in self._hours if hour < day_of(now - _HOURLY)]:
            for hour in oldest:
                del self._hours[hour]
        for day in [day for day in self._days if day < day_of(now) - _DAYS * DAY]:
            del self._days[day]


def _start(kept: tuple[datetime, timedelta, object]) -> datetime:
    return kept[0]
