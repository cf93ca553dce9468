"""The vendor's report and the ledger next to each other. Pure, but for reading the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from workers.ledger.rows import NONE, UsageRow, UsageSource

from .report import Report

#: Stands for all models together.
ALL = "all"

_Sums = dict[tuple[date, str], dict[str, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One day and model; or everything, where `day` is None."""

    day: date | None
    model: str
    #: Quantity → what the vendor says, and what the ledger says.
    vendor: Mapping[str, Decimal]
    ledger: Mapping[str, Decimal]
    #: Attempts of the ledger whose price is not known: its cost is too low by theirs.
    unpriced: int
    #: Quantities that differ by more than is tolerated.
    differs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of it."""

    quantities: Sequence[str]
    lines: Sequence[Line]
    total: Line

    @property
    def equal(self) -> bool:
        """Whether nothing differs by more than is tolerated."""
        return not any(line.differs for line in (*self.lines, self.total))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far apart two numbers may be."""

    #: Per cent of what the vendor says.
    percent: Decimal = Decimal(0)
    #: USD that a cost may differ on top of that: vendors round.
    usd: Decimal = Decimal("0.01")

    def allows(self, quantity: str, vendor: Decimal, ledger: Decimal) -> bool:
        """Whether the two count as equal."""
        slack = abs(vendor) * self.percent / 100 + (self.usd if quantity == "cost_usd" else 0)
        return abs(vendor - ledger) <= slack


def compare(
    report: Report,
    ledger: UsageSource,
    *,
    where: Mapping[str, str],
    aliases: Mapping[str, str],
    tolerance: Tolerance,
) -> Comparison:
    """Compare a report with what the ledger has of the same days.

    Args:
        report: what the vendor says.
        ledger: what we say.
        where: dimension → value, of the attempts that the report is about; such as provider and project.
        aliases: the vendor's name of a model → ours, where they differ.
        tolerance: how far apart two numbers may be.
    """
    by_model = bool(report.rows) and all(row.model for row in report.rows)
    theirs: _Sums = {}
    for row in report.rows:
        model = aliases.get(row.model or "", row.model or "") if by_model else ALL
        _add(theirs, (row.day, model), row.amounts)
    ours: _Sums = {}
    unpriced: dict[tuple[date, str], int] = {}
    asked = ("day", "model", "served_model")
    for used in ledger.totals(since=report.start, until=report.end, by=asked, where=where):
        day = date.fromisoformat(used.keys["day"])
        if day not in report.days:
            continue
        served = used.keys["served_model"]
        model = (used.keys["model"] if served == NONE else served) if by_model else ALL
        _add(ours, (day, model), _amounts(used))
        unpriced[day, model] = unpriced.get((day, model), 0) + used.unpriced
    lines = [
        _line(key, theirs.get(key, {}), ours.get(key, {}), report.quantities, unpriced.get(key, 0), tolerance)
        for key in sorted(theirs.keys() | ours.keys())
    ]
    kept = [line for line in lines if any(line.vendor.values()) or any(line.ledger.values())]
    everything = _line(
        (None, ALL),
        _sum(line.vendor for line in kept),
        _sum(line.ledger for line in kept),
        report.quantities,
        sum(unpriced.values()),
        tolerance,
    )
    return Comparison(quantities=report.quantities, lines=kept, total=everything)


def _amounts(row: UsageRow) -> dict[str, Decimal]:
    tokens = row.tokens
    return {
        "input": Decimal(tokens.input),
        "all_input": Decimal(tokens.input + tokens.cached_input + tokens.cache_write),
        "cached_input": Decimal(tokens.cached_input),
        "cache_write": Decimal(tokens.cache_write),
        "output": Decimal(tokens.output),
        "cost_usd": row.cost_usd,
    }


def _add(sums: _Sums, key: tuple[date, str], amounts: Mapping[str, Decimal]) -> None:
    sums[key] = _sum((sums.get(key, {}), amounts))


def _sum(many: Iterable[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for amounts in many:
        for quantity, amount in amounts.items():
            total[quantity] = total.get(quantity, Decimal(0)) + amount
    return total


def _line(
    key: tuple[date | None, str],
    vendor: Mapping[str, Decimal],
    ledger: Mapping[str, Decimal],
    quantities: Sequence[str],
    unpriced: int,
    tolerance: Tolerance,
) -> Line:
    said = {quantity: vendor.get(quantity, Decimal(0)) for quantity in quantities}
    counted = {quantity: ledger.get(quantity, Decimal(0)) for quantity in quantities}
    return Line(
        day=key[0],
        model=key[1],
        vendor=said,
        ledger=counted,
        unpriced=unpriced,
        differs=[
            quantity for quantity in quantities if not tolerance.allows(quantity, said[quantity], counted[quantity])
        ],
    )
