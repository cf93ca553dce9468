"""`byom usage sync`: usage records into a database."""

from collections.abc import Callable
from typing import Annotated

import typer

from config.settings import load_settings
from workers.cli.console import JsonFlag, err, print_json
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.ledger import go_on, ledger_errors, open_database, say_before_first, say_gap
from workers.ledger.stream import RECORDS_KEY, Cursor, Gap, RecordStream
from workers.redis.impatient import connect

EXAMPLES = examples(
    "BYOM_LEDGER_URL=sqlite:///usage.db byom usage sync",
    "byom usage sync --follow",
    notes="Needs the extra 'sql'. A password belongs in BYOM_LEDGER_URL, never on the command line. May be ended and\n"
    "repeated at any time, and run twice at once: each record is written once. Ends with 1 when records were dropped\n"
    "from the stream before they could be written.",
)


def sync(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes in, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write new usage records to the database of BYOM_LEDGER_URL."""
    settings = load_settings()
    new, known = 0, 0
    gaps: list[Gap] = []
    with ledger_errors(), open_database(settings) as database, connect(settings.redis_url) as client:
        from workers.ledger.sql.sync import sync as write_new  # noqa: PLC0415 - an extra

        stream = RecordStream(client)

        def run(stop: Callable[[], bool]) -> Cursor:
            nonlocal new, known
            for step in write_new(stream, database):
                new += step.new
                known += step.known
                if step.gap is not None:
                    gaps.append(step.gap)
                say_gap(step.gap)
                say_before_first(step.before_first)
                if stop():
                    break
            return database.cursor(RECORDS_KEY) or Cursor()

        go_on(run, stream, follow=follow)
    if as_json:
        document = [{"after": gap.after, "before": gap.before, "missing": gap.missing} for gap in gaps]
        print_json({"new": new, "known": known, "gaps": document})
    else:
        err.print(f"Wrote {new:,} records" + (f"; {known:,} were there already." if known else "."))
    if gaps:
        raise typer.Exit(ExitCode.FAILED)
