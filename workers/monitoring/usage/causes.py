"""Why attempts failed lately, from the usage records themselves: the sums do not tell causes apart."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import redis

from workers.ledger import RECORDS_KEY
from workers.monitoring.usage.query import UsageQuery
from workers.monitoring.usage.sums import NONE, Combination
from workers.outcome import TABLE

#: Records that are looked at, newest first: a page must not read a hundred thousand of them.
LOOKED_AT = 3_000

_MENDS: dict[str, Counter[str]] = {}
for _decision in TABLE.values():
    _MENDS.setdefault(_decision.code.value, Counter())[_decision.mend] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause of failed attempts."""

    #: A failure code.
    code: str
    attempts: int
    #: What was done about them: action → attempts.
    actions: Mapping[str, int]
    #: What the operator can do; None for causes that newer workers know.
    mend: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """Causes of the failures among the newest attempts, most frequent first."""

    causes: Sequence[Cause] = ()
    #: Attempts that were looked at and fit the query, the good ones included.
    attempts: int = 0
    #: When the oldest one began that was looked at; None when there was none.
    since: datetime | None = None


class Failures(Protocol):
    """Where the causes come from."""

    def recent(self, query: UsageQuery, *, since: datetime) -> Causes:
        """Causes among the newest attempts that fit a query, back to an instant at most.

        Raises:
            redis.RedisError: they cannot be read.
        """


def causes_of(records: Sequence[bytes], query: UsageQuery, *, since: datetime) -> Causes:
    """Count causes in usage records as JSON."""
    attempts = 0
    oldest: str | None = None
    actions: dict[str, Counter[str]] = {}
    for text in records:
        record = json.loads(text)
        began = record["started_at"]
        if datetime.fromisoformat(began) < since:
            continue
        oldest = min(oldest or began, began)
        if not query.fits(_combination(record)):
            continue
        attempts += 1
        if record["status"] != "ok":
            actions.setdefault(record["status"], Counter())[record["action"]] += 1
    causes = [
        Cause(code=code, attempts=done.total(), actions=dict(done.most_common()), mend=_mend(code))
        for code, done in actions.items()
    ]
    return Causes(
        causes=sorted(causes, key=lambda cause: (-cause.attempts, cause.code)),
        attempts=attempts,
        since=datetime.fromisoformat(oldest) if oldest else None,
    )


def _mend(code: str) -> str | None:
    """What mends most of the faults that have this code."""
    return max(mends, key=mends.__getitem__) if (mends := _MENDS.get(code)) else None


class RedisFailures:
    """Reads the newest usage records."""

    def __init__(self, client: redis.Redis, *, looked_at: int = LOOKED_AT) -> None:
        self._client = client
        self._looked_at = looked_at

    def recent(self, query: UsageQuery, *, since: datetime) -> Causes:
        """Causes among the newest attempts."""
        entries: Any = self._client.xrevrange(RECORDS_KEY, count=self._looked_at)
        return causes_of([fields[b"record"] for _, fields in entries], query, since=since)


def _combination(record: Mapping[str, object]) -> Combination:
    values = (record.get(name) for name in Combination._fields)
    return Combination(*(NONE if value is None else str(value) for value in values))
