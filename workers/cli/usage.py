"""`byom usage`: tokens and cost, summed as asked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from config.settings import load_settings
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import connect
from workers.cli.examples import examples
from workers.cli.options import since as parse_since
from workers.ledger import DIMENSIONS, UsageReader, UsageRow

EXAMPLES = examples(
    "byom usage",
    "byom usage --by project,provider,model,role --since 7d",
    "byom usage --by project --since 2026-11-01 --json",
    notes=f"Sums by: {', '.join(DIMENSIONS)}. Hours are whole: --since is rounded down.\n"
    "A cost of 'unknown' or with '+ ?' leaves out attempts whose price is not known.",
)


def usage(
    by: Annotated[str, typer.Option(help="What to sum by, separated by commas.")] = "project,provider",
    since: Annotated[str, typer.Option(help="A span (90m, 24h, 7d) or an ISO 8601 date.")] = "24h",
    as_json: JsonFlag = False,
) -> None:
    """Show attempts, tokens and cost, failed attempts included."""
    now = datetime.now(UTC)
    dimensions = [name.strip() for name in by.split(",") if name.strip()]
    start = parse_since(since, now=now)
    with connect(load_settings().redis_url) as client:
        try:
            rows = UsageReader(client, now=now).totals(since=start, by=dimensions)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    if as_json:
        print_json([usage_as_json(row) for row in rows])
    elif not rows:
        err.print(f"No usage since {start:%Y-%m-%d %H:%M} UTC.")
    else:
        out.print(usage_table(rows, by=dimensions))


def usage_table(rows: Sequence[UsageRow], *, by: Sequence[str]) -> Table:
    """A table of usage with a line of sums; a cost that is not known is never shown as 0."""
    lines = [*rows, _total(rows)] if len(rows) > 1 else rows
    numbers = {
        "ATTEMPTS": [f"{row.attempts:,}" for row in lines],
        "FAILED": [f"{row.failed:,}" for row in lines],
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
    )


def usage_as_json(row: UsageRow) -> dict[str, Any]:
    """A row as a document; a cost that is not known is null."""
    return {
        **row.keys,
        "attempts": row.attempts,
        "failed": row.failed,
        "tokens": row.tokens.model_dump(),
        "cost_usd": None if row.unpriced and not row.cost_usd else format(row.cost_usd, "f"),
        "unpriced": row.unpriced,
    }
