"""OpenAI's organization usage (`/v1/organization/usage/completions`) and costs (`/v1/organization/costs`) APIs.

The shapes are those of the types in OpenAI's Python SDK; what its dashboard exports as CSV is another shape. What
`line_item` says in the costs is not documented: it is taken to begin with the model, up to the first comma.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from workers.ledger.reconcile.report import Report, ReportRow, moment, number


def read_report(buckets: Sequence[dict[str, Any]]) -> Report:
    """Read time buckets of usage or costs.

    Raises:
        KeyError, TypeError, ValueError: they are something else.
    """
    rows = [
        ReportRow(day=moment(bucket["start_time"]).date(), model=_model(result), amounts=_amounts(result))
        for bucket in buckets
        for result in bucket["results"]
    ]
    return Report.of(rows, spans=[(moment(bucket["start_time"]), moment(bucket["end_time"])) for bucket in buckets])


def _model(result: dict[str, Any]) -> str | None:
    if result.get("line_item"):
        return str(result["line_item"]).partition(",")[0].strip()
    return result.get("model")


def _amounts(result: dict[str, Any]) -> dict[str, Decimal]:
    if "amount" in result:
        currency = result["amount"].get("currency") or "usd"
        if currency != "usd":
            raise ValueError(f"costs are in {currency}, and the ledger counts in usd")
        return {"cost_usd": number(result["amount"]["value"])}
    # `input_tokens` includes what was read from and written to the cache.
    amounts = {"all_input": number(result["input_tokens"]), "output": number(result["output_tokens"])}
    if result.get("input_cached_tokens") is not None:
        amounts["cached_input"] = number(result["input_cached_tokens"])
    if result.get("input_cache_write_tokens") is not None:
        amounts["cache_write"] = number(result["input_cache_write_tokens"])
    return amounts
