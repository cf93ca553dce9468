"""Bounds how many values a label has: the first ones get a place of their own, all others share one."""

from collections.abc import Iterable
from datetime import datetime, timedelta

#: What all those are called that have no place of their own.
OTHER = "other"


class Slots:
    """Places for values of one label. Not safe for threads."""

    def __init__(self, count: int, *, idle: timedelta = timedelta(days=1)) -> None:
        """A value that was not seen for `idle` gives up its place when another one needs it."""
        self._count = count
        self._idle = idle
        self._seen: dict[str, datetime] = {}

    def fill(self, values: Iterable[str], *, now: datetime) -> None:
        """Give places to values in their order, as far as there are any."""
        for value in values:
            self.of(value, now=now)

    def of(self, value: str, *, now: datetime) -> str:
        """The value itself, or `OTHER` when there is no place for it."""
        if value not in self._seen and len(self._seen) >= self._count and not self._free(now):
            return OTHER
        self._seen[value] = now
        return value

    def has(self, value: str) -> bool:
        """Whether a value has a place of its own."""
        return value in self._seen

    def _free(self, now: datetime) -> bool:
        """Take the place of whoever was not seen for the longest time, if that is long enough."""
        oldest = min(self._seen, key=self._seen.__getitem__, default=None)
        if oldest is None or self._seen[oldest] > now - self._idle:
            return False
        del self._seen[oldest]
        return True
