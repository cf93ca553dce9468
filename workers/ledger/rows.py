"""Usage tables: what can be asked for, and what a line says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol, Self

from config.prices import PICO
from tasks.contract import Role, TokenUsage
from workers.ledger.amounts import Amounts
from workers.ledger.sums import CAUSE, STORED

#: Whole days and hours, in UTC.
TIMES = ("day", "hour")
#: What usage can be summed by, labels (`label:team`) beside.
DIMENSIONS = (*STORED, *CAUSE, *TIMES)
#: Begins the name of a dimension that is a label.
LABEL = "label:"

#: Stands where a record has no value.
NONE = "-"
#: What attempts have that did not fail, by dimension.
GOOD = {"status": "ok", "action": "done"}
#: Stands for label values that found no room in the sums of their hour.
OTHER = "(other)"


class UnknownDimension(ValueError):
    """Usage cannot be summed by this."""


def check_dimensions(names: Sequence[str]) -> None:
    """Refuse names that usage cannot be summed by.

    Raises:
        UnknownDimension: with the list of those that it can be summed by.
    """
    unknown = [name for name in names if name not in DIMENSIONS and not (name.startswith(LABEL) and name != LABEL)]
    if unknown:
        raise UnknownDimension(
            f"usage cannot be summed by {', '.join(unknown)}; choose from {', '.join(DIMENSIONS)} and label:NAME"
        )
    if len(set(names)) < len(names):
        raise UnknownDimension(f"each can be summed by once only: {', '.join(names)}")


def labels_of(names: Iterable[str]) -> list[str]:
    """The labels among names of dimensions."""
    return [name.removeprefix(LABEL) for name in names if name.startswith(LABEL)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One line of a usage table."""

    #: Dimension → value, in the order asked for.
    keys: dict[str, str]
    attempts: int
    #: Attempts that did not yield an answer.
    failed: int
    tokens: TokenUsage
    #: What is known; `unpriced` says whether that is all.
    cost_usd: Decimal
    #: Attempts that used tokens at an unknown price: their cost is missing, not zero.
    unpriced: int
    #: Attempts on connections that stepped in for the primary one.
    fallback: int = 0
    #: Milliseconds of all calls together, and of all waits in lanes before them.
    latency_ms: int = 0
    queue_wait_ms: int = 0

    @property
    def failed_share(self) -> float:
        """Failed attempts of all, from 0 to 1."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def fallback_share(self) -> float:
        """Attempts of fallbacks of all, from 0 to 1."""
        return self.fallback / self.attempts if self.attempts else 0.0


class UsageSource(Protocol):
    """Where usage tables come from."""

    def totals(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = ("project", "provider"),
        where: Mapping[str, str] | None = None,
    ) -> list[UsageRow]:
        """Sums of whole hours, one row per combination of `by`, sorted.

        Args:
            since: rounded down to its hour; default a day ago.
            until: rounded up to its hour; default now.
            by: dimensions, and labels as `label:NAME`.
            where: dimension → value that attempts must have.

        Raises:
            UnknownDimension: usage is not summed by that here.
        """


@dataclass(slots=True)
class _Group:
    amounts: list[Amounts] = field(default_factory=list)
    fallback: int = 0


class Grouping:
    """Adds up amounts by combination of dimensions."""

    def __init__(self, by: Sequence[str]) -> None:
        self._by = by
        self._groups: dict[tuple[str, ...], _Group] = {}

    @classmethod
    def of(cls, by: Sequence[str]) -> Self:
        """An empty one for dimensions that have been checked."""
        check_dimensions(by)
        return cls(by)

    def add(self, values: Mapping[str, str | None], amounts: Amounts) -> None:
        """Add amounts of attempts that have these values; `role` must be among them."""
        keys = tuple(values.get(name) or NONE for name in self._by)
        group = self._groups.setdefault(keys, _Group())
        group.amounts.append(amounts)
        if values["role"] == Role.FALLBACK:
            group.fallback += amounts.attempts

    def rows(self) -> list[UsageRow]:
        """What came together."""
        return [
            row_of(dict(zip(self._by, keys, strict=True)), Amounts.total(group.amounts), fallback=group.fallback)
            for keys, group in sorted(self._groups.items())
        ]


def row_of(keys: dict[str, str], sums: Amounts, *, fallback: int) -> UsageRow:
    """A line from exact sums."""
    return UsageRow(
        keys=keys,
        attempts=sums.attempts,
        failed=sums.failed,
        tokens=sums.tokens,
        cost_usd=Decimal(sums.cost_pico) / PICO,
        unpriced=sums.unpriced,
        fallback=fallback,
        latency_ms=sums.latency_ms,
        queue_wait_ms=sums.queue_wait_ms,
    )
