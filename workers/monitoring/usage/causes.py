"""Why attempts failed, and what mends it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from workers.engine.outcome import TABLE
from workers.monitoring.usage.book import Slice, Span
from workers.monitoring.usage.query import UsageQuery
from workers.monitoring.usage.sums import FailedKind

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
    """Causes of failures, most frequent first."""

    causes: Sequence[Cause] = ()
    #: Failed attempts of which no cause is known: older workers did not sum them by cause.
    unknown: int = 0
    #: Hours or days that are still to be read.
    missing: int = 0


def causes_of(span: Span[FailedKind], query: UsageQuery, *, failed: Mapping[datetime, int]) -> Causes:
    """Add up causes.

    Args:
        span: failed attempts of the time.
        query: whose attempts are asked for.
        failed: how many of these failed in each hour or day that can change no more, by its beginning.
    """
    actions: dict[str, Counter[str]] = {}
    for kind, sums in span.together.items():
        if query.fits(kind.of):
            actions.setdefault(kind.status, Counter())[kind.action] += sums.attempts
    known = {part.start: _failed(part, query) if query.filters else part.once(_all_failed) for part in span.slices}
    causes = [
        Cause(code=code, attempts=done.total(), actions=dict(done.most_common()), mend=_mend(code))
        for code, done in actions.items()
    ]
    return Causes(
        causes=sorted(causes, key=lambda cause: (-cause.attempts, cause.code)),
        unknown=sum(max(0, failed.get(start, 0) - count) for start, count in known.items()),
        missing=span.missing,
    )


def _failed(part: Slice[FailedKind], query: UsageQuery) -> int:
    return sum(sums.attempts for kind, sums in part.table.items() if query.fits(kind.of))


def _all_failed(part: Slice[FailedKind]) -> int:
    return sum(sums.attempts for sums in part.table.values())


def _mend(code: str) -> str | None:
    """What mends most of the faults that have this code."""
    return max(mends, key=mends.__getitem__) if (mends := _MENDS.get(code)) else None
