"""Keeps what was read of past hours, so that a page reads only what may still change.

An hour is closed once no call that began in it can still be under way. Closed hours are read once: those of the last
two days are kept as they are, older ones are added up to whole days (UTC). Memory is so bounded by the combinations of
dimensions that occur in a day, times the days asked for.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Generic, TypeVar

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


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Generic[Kind]):
    """The sums of one hour or one day."""

    start: datetime
    length: timedelta
    table: Mapping[Kind, Sums]
    _followed: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, follow: "Callable[[Slice[Kind]], _T]") -> _T:
        """What follows from these sums; worked out once, however many pages ask while the book keeps them."""
        if follow not in self._followed:
            self._followed[follow] = follow(self)
        found: _T = self._followed[follow]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Generic[Kind]):
    """What is known of a span of time, oldest first."""

    slices: Sequence[Slice[Kind]]
    #: Slices that could not be read in the time that was given; they are the oldest ones.
    missing: int = 0
    #: All slices added up, where that is at hand.
    sums: Mapping[Kind, Sums] | None = None

    @property
    def together(self) -> Mapping[Kind, Sums]:
        """All slices added up."""
        return added_up(part.table for part in self.slices) if self.sums is None else self.sums


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
        self._hours: dict[datetime, Slice[Kind]] = {}
        self._days: dict[datetime, Slice[Kind]] = {}
        self._open: dict[datetime, Slice[Kind]] = {}
        self._opened_at = float("-inf")
        #: Of the present day: how many hours of it are closed, and their sums.
        self._today: tuple[datetime, int, Mapping[Kind, Sums]] | None = None
        #: Length of a span → its slices that change no more, by their beginnings, and their sums.
        self._closed: dict[timedelta, tuple[Sequence[datetime], Mapping[Kind, Sums]]] = {}

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
            span = self._read(now, length, patience)
            return replace(span, sums=self._together(span.slices, length))

    def read_ahead(self, length: timedelta, *, patience: float) -> int:
        """Read what `span` will need, for so many seconds; how many slices are still missing.

        Raises:
            redis.RedisError: they cannot be read.
        """
        with self._lock:
            return self._read(self._clock.now(), length, patience).missing

    def known(self) -> Span[Kind]:
        """Whatever is kept at present, without reading anything; each hour once."""
        with self._lock:
            hours = self._hours | self._open
            days = [part for start, part in self._days.items() if start not in hours]
        return Span(slices=sorted([*days, *hours.values()], key=attrgetter("start")))

    def _read(self, now: datetime, length: timedelta, patience: float | None) -> Span[Kind]:
        self._forget(now)
        deadline = None if patience is None else self._monotonic() + patience
        self._read_open(now)
        if length <= _HOURLY:
            return self._by_hours(now, length)
        return self._by_days(now, length, deadline)

    def _by_hours(self, now: datetime, length: timedelta) -> Span[Kind]:
        last = hour_of(now)
        count = max(1, length // HOUR)
        hours = [last - number * HOUR for number in reversed(range(count))]
        self._read_closed(hours)
        return Span(slices=[self._hour(hour) for hour in hours])

    def _by_days(self, now: datetime, length: timedelta, deadline: float | None) -> Span[Kind]:
        today = day_of(now)
        days = [today - number * DAY for number in range(max(1, length // DAY))]
        slices: list[Slice[Kind]] = []
        for day in days:
            read = self._day(day, now, deadline)
            if read is None:
                break
            slices.append(read)
        return Span(slices=slices[::-1], missing=len(days) - len(slices))

    def _day(self, day: datetime, now: datetime, deadline: float | None) -> Slice[Kind] | None:
        """The sums of a day; None when there is no time left to read it."""
        if day in self._days:
            return self._days[day]
        hours = [hour for number in range(24) if (hour := day + number * HOUR) <= now]
        wanted = [hour for hour in hours if hour not in self._hours and hour not in self._open]
        if wanted and deadline is not None and self._monotonic() >= deadline:
            return None
        if day + DAY <= now - _HOURLY:
            # Hours of old days are added up as they come, and not kept.
            kept = (self._hour(hour).table for hour in hours if hour not in wanted)
            table = added_up([self._source.total(wanted), *kept])
        else:
            self._read_closed(hours)
            table = self._added_to(day, hours)
        found = Slice(start=day, length=DAY, table=table)
        if not self._may_change(found):
            self._days[day] = found
        return found

    def _added_to(self, day: datetime, hours: Sequence[datetime]) -> Mapping[Kind, Sums]:
        """The hours of a recent day together; those of them that are closed are added up once."""
        closed = [hour for hour in hours if hour not in self._open]
        if self._today is None or self._today[:2] != (day, len(closed)):
            self._today = (day, len(closed), added_up(self._hours[hour].table for hour in closed))
        return added_up([self._today[2], *(self._open[hour].table for hour in hours if hour in self._open)])

    def _together(self, slices: Sequence[Slice[Kind]], length: timedelta) -> Mapping[Kind, Sums]:
        """All of a span, of which what changes no more is added up once."""
        closed = [part for part in slices if not self._may_change(part)]
        starts = [part.start for part in closed]
        if self._closed.get(length, (None,))[0] != starts:
            self._closed[length] = (starts, added_up(part.table for part in closed))
        changing = [part.table for part in slices if self._may_change(part)]
        return added_up([self._closed[length][1], *changing])

    def _may_change(self, part: Slice[Kind]) -> bool:
        """Whether it holds an hour that is not closed; asked only once these were read."""
        return part.start + part.length > min(self._open)

    def _hour(self, hour: datetime) -> Slice[Kind]:
        return self._open.get(hour) or self._hours[hour]

    def _read_open(self, now: datetime) -> None:
        """Read what may still change, at most every other second."""
        first = hour_of(now - OPEN)
        hours = [first + number * HOUR for number in range((hour_of(now) - first) // HOUR + 1)]
        if list(self._open) == hours and self._monotonic() < self._opened_at + _FRESH:
            return
        self._open = self._slices(hours)
        self._opened_at = self._monotonic()

    def _read_closed(self, hours: Sequence[datetime]) -> None:
        wanted = [hour for hour in hours if hour not in self._hours and hour not in self._open]
        if wanted:
            self._hours |= self._slices(wanted)

    def _slices(self, hours: Sequence[datetime]) -> dict[datetime, Slice[Kind]]:
        tables = self._source.read(hours)
        return {hour: Slice(start=hour, length=HOUR, table=table) for hour, table in zip(hours, tables, strict=True)}

    def _forget(self, now: datetime) -> None:
        """Drop hours that are kept as days, and days that nobody asks for any more."""
        if oldest := [hour for hour in self._hours if hour < day_of(now - _HOURLY)]:
            for hour in oldest:
                del self._hours[hour]
        for day in [day for day in self._days if day < day_of(now) - _DAYS * DAY]:
            del self._days[day]
