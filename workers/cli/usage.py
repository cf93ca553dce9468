"""`byom usage`: tokens and cost, summed as asked; below it the records, the database and the vendor's account."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from config.settings import load_settings
from workers.cli import usage_export, usage_reconcile, usage_sync
from workers.cli.console import JsonFlag, err, out, print_json
from workers.cli.examples import examples
from workers.cli.ledger import Source, SourceOption, usage_source
from workers.cli.options import ProjectOption
from workers.cli.options import since as parse_since
from workers.cli.usage_table import usage_as_json, usage_table, write_usage_csv
from workers.ledger import DIMENSIONS, UnknownDimension

EXAMPLES = examples(
    "byom usage",
    "byom usage --by project,provider,model,label:team --since 7d",
    "byom usage --by day,connection --project acme --since 2026-11-01 --until 2026-12-01 --csv > november.csv",
    "byom usage --by project --since 2026-01-01 --from sql --json",
    notes=f"Sums by: {', '.join(DIMENSIONS)}, and label:NAME. Hours are whole: --since is rounded down, --until up.\n"
    "A cost of 'unknown' or with '+ ?' leaves out attempts whose price is not known.",
)

app = typer.Typer(invoke_without_command=True)
app.command("export", epilog=usage_export.EXAMPLES)(usage_export.export)
app.command("sync", epilog=usage_sync.EXAMPLES)(usage_sync.sync)
app.command("reconcile", epilog=usage_reconcile.EXAMPLES)(usage_reconcile.reconcile)


@app.callback(epilog=EXAMPLES)
def usage(
    context: typer.Context,
    by: Annotated[str, typer.Option(help="What to sum by, separated by commas.")] = "project,provider",
    since: Annotated[str, typer.Option(help="A span (90m, 24h, 7d) or an ISO 8601 date.")] = "24h",
    until: Annotated[str | None, typer.Option(help="Likewise; without it, now.", show_default=False)] = None,
    project: ProjectOption = None,
    source: SourceOption = Source.SUMS,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets instead of text.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show attempts, tokens and cost, failed attempts included."""
    if context.invoked_subcommand is not None:
        return
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    now = datetime.now(UTC)
    dimensions = [name.strip() for name in by.split(",") if name.strip()]
    start = parse_since(since, now=now)
    end = None if until is None else parse_since(until, now=now, option="--until")
    if end is not None and end <= start:
        raise typer.BadParameter("--until must be later than --since")
    with usage_source(load_settings(), source, now=now) as ledger:
        try:
            where = {} if project is None else {"project": project}
            rows = ledger.totals(since=start, until=end, by=dimensions, where=where)
        except UnknownDimension as error:
            raise typer.BadParameter(str(error)) from error
    if as_json:
        print_json([usage_as_json(row) for row in rows])
    elif as_csv:
        write_usage_csv(rows, sys.stdout, by=dimensions)
    elif not rows:
        err.print(f"No usage since {start:%Y-%m-%d %H:%M} UTC.")
    else:
        out.print(usage_table(rows, by=dimensions))
