"""How usage is shown: a table for people, JSON and CSV for programs."""

import csv
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TextIO

from rich.table import Table

from tasks.contract import TokenUsage
from workers.cli.console import table
from workers.ledger import UsageRow

#: Digits of a share in JSON and CSV.
_DIGITS = 6


def usage_table(rows: Sequence[UsageRow], *, by: Sequence[str]) -> Table:
    """A table of usage with a line of sums; a cost that is not known is never shown as 0."""
    lines = [*rows, _total(rows)] if len(rows) > 1 else rows
    numbers = {
        "ATTEMPTS": [f"{row.attempts:,}" for row in lines],
        "FAILED": [f"{row.failed:,}" for row in lines],
        "FAILED %": [f"{row.failed_share:.1%}"[:-1] for row in lines],
        "FALLBACK %": [f"{row.fallback_share:.1%}"[:-1] for row in lines],
        "INPUT": [f"{row.tokens.input + row.tokens.cache_write:,}" for row in lines],
        "CACHED": [f"{row.tokens.cached_input:,}" for row in lines],
        "OUTPUT": [f"{row.tokens.output:,}" for row in lines],
        "COST USD": [_cost(row) for row in lines],
    }
    if not any(row.tokens.cached_input for row in lines):
        del numbers["CACHED"]
    cells = ([*row.keys.values(), *counts] for row, *counts in zip(lines, *numbers.values(), strict=True))
    return table((*(name.upper().replace("_", " ") for name in by), *numbers), cells, right=tuple(numbers))


def _cost(row: UsageRow) -> str:
    if row.unpriced and not row.cost_usd:
        return "unknown"
    return f"{row.cost_usd:.6f}" + (" + ?" if row.unpriced else "")


def _total(rows: Sequence[UsageRow]) -> UsageRow:
    tokens = rows[0].tokens
    for row in rows[1:]:
        tokens += row.tokens
    names = list(rows[0].keys)
    return UsageRow(
        keys={name: "" if position else "all" for position, name in enumerate(names)},
        attempts=sum(row.attempts for row in rows),
        failed=sum(row.failed for row in rows),
        tokens=tokens,
        cost_usd=sum((row.cost_usd for row in rows), start=Decimal(0)),
        unpriced=sum(row.unpriced for row in rows),
        fallback=sum(row.fallback for row in rows),
        latency_ms=sum(row.latency_ms for row in rows),
        queue_wait_ms=sum(row.queue_wait_ms for row in rows),
    )


def usage_as_json(row: UsageRow) -> dict[str, Any]:
    """A row as a document; a cost that is not known is null."""
    return {
        **row.keys,
        "attempts": row.attempts,
        "failed": row.failed,
        "failed_share": round(row.failed_share, _DIGITS),
        "fallback": row.fallback,
        "fallback_share": round(row.fallback_share, _DIGITS),
        "tokens": row.tokens.model_dump(),
        "cost_usd": None if row.unpriced and not row.cost_usd else format(row.cost_usd, "f"),
        "unpriced": row.unpriced,
        "latency_ms": row.latency_ms,
        "queue_wait_ms": row.queue_wait_ms,
    }


#: Columns of the CSV behind the dimensions asked for. New ones are only ever added at the end.
_COLUMNS = (
    "attempts",
    "failed",
    "failed_share",
    "fallback",
    "fallback_share",
    *(f"{kind}_tokens" for kind in TokenUsage.model_fields),
    "cost_usd",
    "unpriced",
    "latency_ms",
    "queue_wait_ms",
)


def write_usage_csv(rows: Sequence[UsageRow], file: TextIO, *, by: Sequence[str]) -> None:
    """Rows with a line of headers and no line of sums; a cost that is not known is empty."""
    writer = csv.DictWriter(file, fieldnames=[*by, *_COLUMNS], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        document = usage_as_json(row)
        tokens: dict[str, int] = document.pop("tokens")
        writer.writerow({**document, **{f"{kind}_tokens": count for kind, count in tokens.items()}})
