"""How an estimate is shown: a table of the ways to do it, side by side, and what each rests on."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rich.markup import escape

from workers.backfill.estimate import CostRange, Estimate, Option
from workers.backfill.expectation import Range
from workers.cli.console import err, out, table
from workers.enqueue.backlog import wait_words

_COLUMNS = (
    "CONNECTION",
    "MODEL",
    "PACK",
    "TIER",
    "JOBS",
    "CALLS",
    "INPUT",
    "OUTPUT",
    "COST (USD)",
    "FROM - TO",
    "TIME",
    "LIMITED BY",
)
_NUMBERS = ("PACK", "JOBS", "CALLS", "INPUT", "OUTPUT", "COST (USD)", "FROM - TO")


def show_estimate(estimate: Estimate) -> None:
    """Print the table, and remarks below it on stderr."""
    out.print(table(_COLUMNS, map(_cells, estimate.options), right=_NUMBERS))
    for remark in dict.fromkeys(remark for option in estimate.options for remark in _remarks(option)):
        err.print(remark)


def _cells(option: Option) -> list[str]:
    connection = option.standing.link.connection
    return [
        connection.name,
        connection.model,
        f"{option.pack_tokens:,}" if option.pack_tokens else "",
        option.tier.value if option.tier else "",
        f"{option.jobs:,}",
        f"{option.calls:,}",
        f"{option.taken.input.expected:,.0f}",
        f"{option.taken.output.expected:,.0f}",
        _usd(option.cost.expected) if option.cost else "unknown",
        f"{_usd(option.cost.low)} - {_usd(option.cost.high)}" if option.cost else "",
        "unknown" if option.pace.seconds is None else wait_words(option.pace.seconds),
        option.pace.bound_by or "",
    ]


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def _remarks(option: Option) -> Iterator[str]:
    standing = option.standing
    name = f"connection '{escape(standing.link.connection.name)}'"
    yield f"[dim]{name}: tokens rest on {escape(standing.expectation.basis)}[/]"
    if option.cost is None:
        yield f"[yellow]Note:[/] {name}: the price of its model is not known, and a spend cap does not stop it"
    if option.too_long:
        yield f"[yellow]Note:[/] {name}: {option.too_long:,} jobs have an episode that its model has no room for"
    if standing.blocked:
        yield f"[yellow]Note:[/] {name}: nobody calls it at present ({standing.blocked}); see: byom limits show"
    if standing.fails_at_cap:
        yield f"[yellow]Note:[/] {name}: jobs beyond a spend cap fail (on_spend_cap); with 'wait' they would wait"


def estimate_as_json(estimate: Estimate) -> dict[str, Any]:
    """The same for programs; money in USD as text."""
    return {
        "entries": estimate.entries,
        "episodes": estimate.episodes,
        "options": [_option(option) for option in estimate.options],
    }


def _option(option: Option) -> dict[str, Any]:
    standing, taken = option.standing, option.taken
    connection = standing.link.connection
    return {
        "connection": connection.name,
        "provider": connection.provider.value,
        "model": connection.model,
        "role": connection.role.value,
        "pack_tokens": option.pack_tokens,
        "tier": option.tier.value if option.tier else None,
        "jobs": option.jobs,
        "calls": option.calls,
        "input_tokens": _rounded(taken.input),
        "cached_input_tokens": round(taken.cached_input),
        "cache_write_tokens": round(taken.cache_write),
        "output_tokens": _rounded(taken.output),
        "cost_usd": _cost(option.cost),
        "seconds": None if option.pace.seconds is None else round(option.pace.seconds),
        "limited_by": option.pace.bound_by,
        "rests_on": standing.expectation.basis,
        "jobs_too_long": option.too_long,
        "blocked_by": standing.blocked,
        "fails_at_cap": standing.fails_at_cap,
    }


def _rounded(amounts: Range) -> dict[str, int]:
    return {"low": round(amounts.low), "expected": round(amounts.expected), "high": round(amounts.high)}


def _cost(cost: CostRange | None) -> dict[str, str] | None:
    if cost is None:
        return None
    return {name: format(getattr(cost, name), "f") for name in ("low", "expected", "high")}
