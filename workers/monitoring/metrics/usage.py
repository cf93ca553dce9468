"""Counters from the hourly sums: what was added to them since this process began to look.

As with every counter of Prometheus they begin at 0 with the process; the ledger is what holds all. An hour is read
again as long as calls that began in it may still be settled, and only what is new in it is counted.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from workers.clock import Clock
from workers.monitoring.metrics.slots import Slots
from workers.monitoring.usage.book import HOUR, OPEN, hour_of
from workers.monitoring.usage.sums import Combination, HourlyUsage, Sums, Table

#: How far back a scrape looks at most, when there was none for long.
_LONGEST = 48 * HOUR
#: What ranks projects at the beginning.
_RANKED = timedelta(days=1)
#: Models that have series of their own.
_MODELS = 100


class Labels(NamedTuple):
    """Of which series."""

    project: str
    provider: str
    model: str
    role: str


class UsageCounters:
    """Sums since the first reading. Safe for threads."""

    def __init__(self, hours: HourlyUsage, *, clock: Clock, projects: int) -> None:
        """At most so many `projects` get series of their own, those that spent most first."""
        self._hours = hours
        self._clock = clock
        self._projects = Slots(projects)
        self._models = Slots(_MODELS)
        self._lock = threading.Lock()
        self._seen: dict[datetime, Table] = {}
        self._totals: dict[Labels, Sums] = {}
        self._last: datetime | None = None

    def read(self) -> Mapping[Labels, Sums]:
        """The counters as they stand.

        Raises:
            redis.RedisError: the sums cannot be read; nothing is lost by that.
        """
        with self._lock:
            now = self._clock.now()
            if self._last is None:
                self._begin(now)
            first = hour_of(max((self._last or now) - OPEN, now - _LONGEST))
            hours = [first + number * HOUR for number in range((hour_of(now) - first) // HOUR + 1)]
            tables = self._hours.read(hours)
            for hour, table in zip(hours, tables, strict=True):
                self._count(table, self._seen.get(hour, {}), now)
            open_since = hour_of(now - OPEN)
            self._seen = {hour: table for hour, table in zip(hours, tables, strict=True) if hour >= open_since}
            self._last = now
            return {labels: Sums(*_values(sums)) for labels, sums in self._totals.items()}

    def _begin(self, now: datetime) -> None:
        """Take what is there already as given, and rank the projects by it."""
        count = _RANKED // HOUR
        hours = [hour_of(now) - number * HOUR for number in reversed(range(count))]
        tables = self._hours.read(hours)
        spent: Counter[str] = Counter()
        for table in tables:
            for combination, sums in table.items():
                spent[combination.project] += sums.cost or sums.tokens
        self._projects.fill((project for project, _ in spent.most_common()), now=now)
        self._seen = dict(zip(hours, tables, strict=True))
        for table in tables:
            for combination in table:
                # A series that is there from the beginning shows its first increase.
                self._total(combination, now)

    def _count(self, table: Table, before: Table, now: datetime) -> None:
        for combination, sums in table.items():
            earlier = before.get(combination)
            if earlier == sums:
                continue
            self._total(combination, now).add(sums.less(earlier) if earlier else sums)

    def _total(self, combination: Combination, now: datetime) -> Sums:
        labels = Labels(
            project=self._place(self._projects, combination.project, now),
            provider=combination.provider,
            model=self._place(self._models, combination.model, now),
            role=combination.role,
        )
        return self._totals.setdefault(labels, Sums())

    def _place(self, slots: Slots, value: str, now: datetime) -> str:
        known = slots.has(value)
        place = slots.of(value, now=now)
        if not known and place == value:
            # Somebody else may have lost the place to it.
            self._totals = {
                labels: sums
                for labels, sums in self._totals.items()
                if all(
                    name == "other" or of.has(name)
                    for of, name in ((self._projects, labels.project), (self._models, labels.model))
                )
            }
        return place


def _values(sums: Sums) -> tuple[int, ...]:
    return tuple(getattr(sums, name) for name in Sums.__slots__)
