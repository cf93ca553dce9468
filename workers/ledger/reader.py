"""Usage tables from the hourly sums."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from workers.ledger.amounts import Amounts
from workers.ledger.rows import GOOD, LABEL, NONE, OTHER, Grouping, UnknownDimension, UsageRow, labels_of
from workers.ledger.sums import CAUSE, FAILED, STORED, failed_key, hour_key, label_key, labels_key

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
#: Hours read in one round trip.
_AT_ONCE = 24

_PROJECT = STORED.index("project")


def whole_hours(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The hours that a span touches, as the start of the first and the end of the last."""
    start, end = _hour_of(since), _hour_of(until)
    return start, end if end == until else end + _HOUR


def span(since: datetime | None, until: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """The whole hours asked for; by default those since a day ago, the present one included."""
    return whole_hours(since or now - _DAY, until or _hour_of(now) + _HOUR)


def time_values(hour: datetime) -> dict[str, str]:
    """The dimensions that an hour itself has."""
    return {"day": f"{hour:%Y-%m-%d}", "hour": f"{hour:%Y-%m-%dT%H:00Z}"}


@dataclass(frozen=True, slots=True)
class _Hour:
    """What is stored of one hour: combination of dimensions → sums."""

    start: datetime
    sums: Mapping[bytes, bytes]
    #: Of failed attempts, by cause; empty when nobody asks for causes.
    failed: Mapping[bytes, bytes]
    #: Of the label asked for, and what is kept of labels at all; empty when none is asked for.
    labelled: Mapping[bytes, bytes]
    kept: Mapping[bytes, bytes]


class UsageReader:
    """Reads the hourly sums. A usage source."""

    def __init__(self, client: redis.Redis, *, now: datetime) -> None:
        self._client = client
        self._now = now

    def totals(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = ("project", "provider"),
        where: Mapping[str, str] | None = None,
    ) -> list[UsageRow]:
        """Sums of whole hours, one row per combination of `by`; see `UsageSource`."""
        grouping = Grouping.of(by)
        labels = labels_of(by)
        if len(labels) > 1:
            raise UnknownDimension(
                f"the hourly sums know one label at a time, not {', '.join(labels)} together; "
                "the database of BYOM_LEDGER_URL does: --from sql"
            )
        start, end = span(since, until, now=self._now)
        label = labels[0] if labels else None
        causes = not set(CAUSE).isdisjoint((*by, *(where or {})))
        if label is not None and causes:
            raise UnknownDimension(
                f"the hourly sums know causes of failures, or label {label}, but not the two together; "
                "the database of BYOM_LEDGER_URL does: --from sql"
            )
        for hour in self._hours(start, end, label, causes=causes):
            for values, amounts in _parts_by_cause(hour) if causes else _parts(hour, label):
                if all((values[name] or NONE) == value for name, value in (where or {}).items()):
                    grouping.add(values, amounts)
        return grouping.rows()

    def _hours(self, start: datetime, end: datetime, label: str | None, *, causes: bool) -> Iterator[_Hour]:
        count = (end - start) // _HOUR
        for first in range(0, count, _AT_ONCE):
            hours = [start + number * _HOUR for number in range(first, min(first + _AT_ONCE, count))]
            if label is None and not causes:
                pipeline = self._client.pipeline(transaction=False)
                for hour in hours:
                    pipeline.hgetall(hour_key(hour))
                yield from (_Hour(hour, sums, {}, {}, {}) for hour, sums in zip(hours, pipeline.execute(), strict=True))
                continue
            for hour in hours:
                key = hour_key(hour)
                # In one step: what they lack is told from the difference to the sums of the hour.
                parts = [failed_key(key)] if label is None else [label_key(key, label), labels_key(key)]
                pipeline = self._client.pipeline(transaction=True)
                for each in (key, *parts):
                    pipeline.hgetall(each)
                sums, *others = pipeline.execute()
                yield _Hour(hour, sums, others[0], {}, {}) if label is None else _Hour(hour, sums, {}, *others)


def _parts(hour: _Hour, label: str | None) -> Iterator[tuple[dict[str, str | None], Amounts]]:
    """Values of dimensions and their sums in one hour."""
    times = time_values(hour.start)
    rest = {_combination(field): Amounts.unpack(text) for field, text in hour.sums.items()}
    if label is None:
        yield from (({**_named(values), **times}, amounts) for values, amounts in rest.items())
        return
    name = f"{LABEL}{label}"
    for field, text in hour.labelled.items():
        value, *others = _combination(field)
        amounts = Amounts.unpack(text)
        rest[tuple(others)] -= amounts
        yield {**_named(others), **times, name: value}, amounts
    for values, amounts in rest.items():
        if amounts.attempts:
            crowded = f"left:{values[_PROJECT]}".encode() in hour.kept
            yield {**_named(values), **times, name: OTHER if crowded else NONE}, amounts


def _parts_by_cause(hour: _Hour) -> Iterator[tuple[dict[str, str | None], Amounts]]:
    """As `_parts`, told apart by cause. What did not fail is the rest of the hour, unless older workers added to it."""
    times = time_values(hour.start)
    rest = {_combination(field): Amounts.unpack(text) for field, text in hour.sums.items()}
    for field, text in hour.failed.items():
        values = _combination(field)
        cause, others = dict(zip(FAILED, values[: len(CAUSE)], strict=False)), values[len(CAUSE) :]
        amounts = Amounts.unpack(text)
        rest[others] -= amounts
        yield {**_named(others), **times, **cause}, amounts
    for values, amounts in rest.items():
        if amounts.attempts:
            # These did not say why: what failed cannot be told from what did not.
            good = GOOD if not amounts.failed else dict.fromkeys(CAUSE)
            yield {**_named(values), **times, **good}, amounts


def _combination(field: bytes) -> tuple[str | None, ...]:
    values: list[Any] = json.loads(field)
    return tuple(values)


def _named(values: Sequence[str | None]) -> dict[str, str | None]:
    """Dimensions by name; what newer workers sum by beyond these is added up, what older ones did not know is None."""
    known = zip(STORED, (*values, *[None] * len(STORED)), strict=False)
    return dict(known)


def _hour_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
