"""`byom usage export`: the usage records themselves."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from workers.cli.console import err
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.ledger import go_on, ledger_errors, say_before_first, say_gap
from workers.cli.options import ProjectOption
from workers.cli.options import since as parse_since
from workers.ledger.export import Format, Selection, as_csv_line, as_json_line
from workers.ledger.export import export as export_records
from workers.ledger.files import PIPE, Output
from workers.ledger.stream import Cursor, RecordStream
from workers.redis.impatient import connect

EXAMPLES = examples(
    "byom usage export --since 24h | jq .cost_usd",
    "byom usage export --format csv --project acme --since 2026-11-01 --until 2026-12-01 --out november.csv",
    "byom usage export --out usage.jsonl --state usage.state --follow",
    notes="Records older than BYOM_USAGE_RECORDS are gone; the hourly sums have them. With --state, the same command\n"
    "again writes what is new and nothing twice. Ends with 1 when records were dropped before they could be written.",
)

_RENDER: dict[Format, Callable[..., str]] = {Format.JSONL: as_json_line, Format.CSV: as_csv_line}


def export(
    written_as: Annotated[Format, typer.Option("--format", help="How records are written.")] = Format.JSONL,
    since: Annotated[
        str | None, typer.Option(help="Attempts since a span (24h, 7d) or an ISO 8601 date.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="Attempts before that.", show_default=False)] = None,
    project: ProjectOption = None,
    target: Annotated[str, typer.Option("--out", help="The file to write; - is stdout.")] = PIPE,
    state: Annotated[
        Path | None, typer.Option(help="Remembers up to where was written.", dir_okay=False, show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes in, until Ctrl-C.")] = False,
) -> None:
    """Write usage records, one per attempt, as JSON Lines or CSV."""
    if follow and until is not None:
        raise typer.BadParameter("--follow has no end, and --until is one")
    now = datetime.now(UTC)
    selection = Selection(
        since=None if since is None else parse_since(since, now=now),
        until=None if until is None else parse_since(until, now=now, option="--until"),
        project=project,
    )
    written, gaps = 0, 0
    with ledger_errors(), connect(load_settings().redis_url) as client:
        stream = RecordStream(client)
        with Output(target, pipe=sys.stdout, state=state, written_as=written_as, selection=selection) as output:
            cursor = output.cursor

            def run(stop: Callable[[], bool]) -> Cursor:
                nonlocal cursor, written, gaps
                for step in export_records(stream, output, _RENDER[written_as], selection, cursor):
                    cursor = step.cursor
                    written += step.written
                    gaps += step.gap is not None
                    say_gap(step.gap)
                    if selection.since is None:
                        say_before_first(step.before_first)
                    if stop():
                        break
                return cursor

            go_on(run, stream, follow=follow)
    err.print(f"Wrote {written:,} records.")
    if gaps:
        raise typer.Exit(ExitCode.FAILED)
