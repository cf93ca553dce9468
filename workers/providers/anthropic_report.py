"""Anthropic's usage report and cost report: `usage_report/messages` and `cost_report` of its Admin API.

The shapes are from public descriptions of that API; no report of a real organization was at hand. Amounts of the cost
report are cents as decimal text.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from workers.ledger.reconcile.report import Report, ReportRow, moment, number

_CENTS = 100


def read_report(buckets: Sequence[dict[str, Any]]) -> Report:
    """Read time buckets of usage or costs.

    Raises:
        KeyError, TypeError, ValueError: they are something else.
    """
    rows = [
        ReportRow(day=moment(bucket["starting_at"]).date(), model=result.get("model"), amounts=_amounts(result))
        for bucket in buckets
        for result in bucket["results"]
    ]
    return Report.of(rows, spans=[(moment(bucket["starting_at"]), moment(bucket["ending_at"])) for bucket in buckets])


def _amounts(result: dict[str, Any]) -> dict[str, Decimal]:
    if "amount" in result:
        currency = str(result.get("currency") or "USD")
        if currency.upper() != "USD":
            raise ValueError(f"costs are in {currency}, and the ledger counts in USD")
        return {"cost_usd": number(result["amount"]) / _CENTS}
    written: dict[str, Any] = result.get("cache_creation") or {}
    return {
        "input": number(result["uncached_input_tokens"]),
        "cached_input": number(result.get("cache_read_input_tokens")),
        "cache_write": sum((number(tokens) for tokens in written.values()), Decimal(0)),
        "output": number(result["output_tokens"]),
    }
