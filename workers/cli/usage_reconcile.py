"""`byom usage reconcile`: the vendor's own account of usage against the ledger."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from config.settings import load_settings
from tasks.contract import ProviderKind
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.ledger import Source, SourceOption, ledger_errors, usage_source
from workers.cli.options import ProjectOption
from workers.ledger.reconcile import (
    COLUMNS,
    Comparison,
    Line,
    Tolerance,
    compare,
    parse_columns,
    read_report,
    read_table,
)
from workers.providers.registry import report_readers

EXAMPLES = examples(
    "byom usage reconcile november.json --provider openai --project acme",
    "byom usage reconcile report.json --provider anthropic --account acme-inc --from sql",
    "byom usage reconcile cur.csv --provider bedrock --project acme --alias anthropic.claude-haiku=claude-haiku \\\n"
    "      --columns time=day,model=model_id,tokens_in=input_tokens,tokens_out=output_tokens,cost=usd",
    notes=f"Reads what the APIs of {' and '.join(report_readers())} return (usage or costs, JSON), and any CSV with\n"
    f"--columns NAME=HEADER; names: {', '.join(COLUMNS)}.\n"
    "Compares whole UTC days by model. Ends with 0 when all is equal within the tolerance, else with 1.",
)

_HEADERS = {
    "input": "INPUT",
    "all_input": "ALL INPUT",
    "cached_input": "CACHED",
    "cache_write": "WRITTEN",
    "output": "OUTPUT",
    "cost_usd": "COST USD",
}


def reconcile(
    file: Annotated[Path, typer.Argument(help="The vendor's report.", exists=True, dir_okay=False)],
    provider: Annotated[ProviderKind, typer.Option(help="Whose report it is.")],
    columns: Annotated[
        str | None, typer.Option(help="For CSV: which column holds what.", metavar="NAME=HEADER,…", show_default=False)
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="The vendor's name of a model, and ours.", metavar="THEIRS=OURS")
    ] = None,
    project: ProjectOption = None,
    account: Annotated[str | None, typer.Option(help="Only this account's attempts.", show_default=False)] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only attempts on connections of this name.", show_default=False)
    ] = None,
    tolerance: Annotated[str, typer.Option(metavar="PERCENT", help="How far numbers may be apart.")] = "0",
    tolerance_usd: Annotated[
        str, typer.Option(metavar="USD", help="How far costs may be apart on top of that.")
    ] = "0.01",
    source: SourceOption = Source.SUMS,
    as_json: JsonFlag = False,
) -> None:
    """Compare a vendor's own report of usage with the ledger, by day and model."""
    now = datetime.now(UTC)
    given = {"provider": provider.value, "project": project, "account": account, "connection": connection}
    bounds = Tolerance(percent=_amount(tolerance), usd=_amount(tolerance_usd))
    aliases = dict(map(_alias, alias or ()))
    with ledger_errors():
        if columns is None:
            report = read_report(file, report_readers(), provider=provider.value)
        else:
            report = read_table(file, parse_columns(columns))
    with usage_source(load_settings(), source, now=now) as ledger:
        where = {name: value for name, value in given.items() if value is not None}
        compared = compare(report, ledger, where=where, aliases=aliases, tolerance=bounds)
    if as_json:
        print_json(_as_json(compared))
    else:
        if report.end > now:
            err.print("[yellow]The report's last day is not over yet: vendors count with a delay.[/]")
        out.print(_table(compared))
        out.print("Equal." if compared.equal else "[bold red]Not equal.[/] Cells: vendor → ledger (difference).")
    if not compared.equal:
        raise typer.Exit(ExitCode.FAILED)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"'{text}' is not a number of 0 or more")
    return amount


def _alias(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not (theirs and equals and ours):
        raise typer.BadParameter(f"'{text}' is not THEIRS=OURS")
    return theirs, ours


def _table(compared: Comparison) -> Table:
    columns = ["DAY", "MODEL", *(_HEADERS[quantity] for quantity in compared.quantities)]
    lines = [*compared.lines, compared.total]
    return table(columns, [_cells(line, compared) for line in lines], right=columns[2:])


def _cells(line: Line, compared: Comparison) -> list[str]:
    cells = [_cell(quantity, line) for quantity in compared.quantities]
    return ["total" if line.day is None else line.day.isoformat(), line.model, *cells]


def _cell(quantity: str, line: Line) -> str:
    vendor, ledger = line.vendor[quantity], line.ledger[quantity]
    unknown = " + ?" if quantity == "cost_usd" and line.unpriced else ""
    if quantity not in line.differs:
        return _number(quantity, ledger) + unknown
    difference = ledger - vendor
    sign = "+" if difference > 0 else ""
    return f"{_number(quantity, vendor)} → {_number(quantity, ledger)}{unknown} ({sign}{_number(quantity, difference)})"


def _number(quantity: str, amount: Decimal) -> str:
    return f"{amount:,.6f}" if quantity == "cost_usd" else f"{amount.normalize():,f}"


def _as_json(compared: Comparison) -> dict[str, Any]:
    return {
        "equal": compared.equal,
        "quantities": list(compared.quantities),
        "lines": [_line_as_json(line) for line in compared.lines],
        "total": _line_as_json(compared.total),
    }


def _line_as_json(line: Line) -> dict[str, Any]:
    """Amounts are decimals as text, so that none is rounded."""
    return {
        "day": None if line.day is None else line.day.isoformat(),
        "model": line.model,
        "vendor": {quantity: format(amount, "f") for quantity, amount in line.vendor.items()},
        "ledger": {quantity: format(amount, "f") for quantity, amount in line.ledger.items()},
        "unpriced": line.unpriced,
        "differs": list(line.differs),
    }
