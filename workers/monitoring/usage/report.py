"""Usage put together as a page shows it. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter

from tasks.contract import Role
from workers.monitoring.usage.book import Slice, Span
from workers.monitoring.usage.query import UsageQuery
from workers.monitoring.usage.sums import Combination, Sums


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of a table."""

    #: What the line is of.
    name: str
    sums: Sums = field(default_factory=Sums)
    #: Attempts of fallbacks.
    fallback: int = 0

    @property
    def failed_share(self) -> float:
        """Failed attempts of all, from 0 to 1."""
        return _share(self.sums.failed, self.sums.attempts)

    @property
    def fallback_share(self) -> float:
        """Attempts of fallbacks of all, from 0 to 1."""
        return _share(self.fallback, self.sums.attempts)

    @property
    def queue_wait(self) -> float:
        """Mean wait in a lane before an attempt, in seconds."""
        return _share(self.sums.queue_wait_ms, self.sums.attempts) / 1000

    @property
    def latency(self) -> float:
        """Mean time of a call, in seconds."""
        return _share(self.sums.latency_ms, self.sums.attempts) / 1000

    def add(self, combination: Combination, sums: Sums) -> None:
        """Add attempts of one kind."""
        self.sums.add(sums)
        if combination.role == Role.FALLBACK:
            self.fallback += sums.attempts


@dataclass(slots=True, kw_only=True)
class Point:
    """One hour or day of a chart."""

    start: datetime
    length: timedelta
    sums: Sums = field(default_factory=Sums)
    #: The part of the spend that went to fallbacks, in pico-USD.
    fallback_cost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """All that a page of usage shows, but the causes of failures."""

    query: UsageQuery
    total: Row
    #: The largest, as many as fit.
    rows: Sequence[Row]
    #: All that did not fit, together; None when all did.
    rest: Row | None
    #: How many lines there are in all.
    lines: int
    points: Sequence[Point]
    #: Hours or days that are still to be read, all before the first point.
    missing: int


_SORT_KEYS = {
    "cost": lambda row: (row.sums.cost, row.sums.tokens, row.sums.attempts),
    "tokens": lambda row: (row.sums.tokens, row.sums.attempts),
    "attempts": lambda row: (row.sums.attempts,),
    "failed": lambda row: (row.sums.failed, row.sums.attempts),
}


def usage_report(span: Span[Combination], query: UsageQuery, *, most: int | None) -> UsageReport:
    """Put together what is asked for.

    Args:
        span: what is known of the time.
        query: what is asked for.
        most: lines of the table; the others are added up. None: all of them.
    """
    total = Row(name="")
    rows: dict[str, Row] = {}
    position = Combination._fields.index(query.by)
    for combination, sums in span.together.items():
        if query.filters and not query.fits(combination):
            continue
        name = combination[position]
        row = rows.get(name)
        if row is None:
            row = rows[name] = Row(name=name)
        row.add(combination, sums)
        total.add(combination, sums)
    points = [part.once(_whole_point) if not query.filters else _point(part, query.fits) for part in span.slices]
    ordered = sorted(sorted(rows.values(), key=attrgetter("name")), key=_SORT_KEYS[query.sort], reverse=True)
    shown, others = (ordered, []) if most is None else (ordered[:most], ordered[most:])
    return UsageReport(
        query=query,
        total=total,
        rows=shown,
        rest=_together(others) if others else None,
        lines=len(ordered),
        points=points,
        missing=span.missing,
    )


def _point(part: Slice[Combination], fits: Callable[[Combination], bool]) -> Point:
    point = Point(start=part.start, length=part.length)
    for combination, sums in part.table.items():
        if fits(combination):
            point.sums.add(sums)
            if combination.role == Role.FALLBACK:
                point.fallback_cost += sums.cost
    return point


def _whole_point(part: Slice[Combination]) -> Point:
    return _point(part, lambda _: True)


def _together(rows: Iterable[Row]) -> Row:
    together = Row(name="")
    for row in rows:
        together.sums.add(row.sums)
        together.fallback += row.fallback
    return together


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
