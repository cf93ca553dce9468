"""`byom backfill list`, `status`, `report` and `pause`."""

from workers.backfill.report import Report
from workers.backfill.state import Phase, RedisBackfills
from workers.cli.backfill_common import NameArgument, clear_errors, connected, report_on, say
from workers.cli.backfill_views import show_list, show_report, show_status
from workers.cli.console import JsonFlag, err, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples

LIST_EXAMPLES = examples("byom backfill list", "byom backfill list --json | jq .backfill")
STATUS_EXAMPLES = examples("byom backfill status archive", "byom backfill status archive --json | jq .done")
PAUSE_EXAMPLES = examples("byom backfill pause archive", notes="What is in flight goes on, and is kept.")
REPORT_EXAMPLES = examples("byom backfill report archive", "byom backfill report archive --json | jq .failures")


def list_(as_json: JsonFlag = False) -> None:
    """List backfills, the newest first."""
    with connected() as client:
        reports = [report_on(snapshot) for snapshot in RedisBackfills(client).all()]
    if as_json:
        for report in reports:
            print_json(report.as_json())
    elif reports:
        show_list(reports)
    else:
        err.print("There are no backfills. Begin one with: byom backfill run FILE --project P --out NAME.jsonl")


def status(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Show where a backfill is."""
    report = _load(name)
    if as_json:
        print_json(report.as_json())
    else:
        show_status(report)


def report(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Show how a backfill went: lines by how they ended, tokens, cost, failures by cause."""
    made = _load(name)
    if as_json:
        print_json(made.as_json())
    else:
        show_report(made)


def pause(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Pause a backfill, whoever drives it."""
    with connected() as client, clear_errors():
        state = RedisBackfills(client).open(name)
        before = state.change(Phase.PAUSED, why="somebody paused it", after=[Phase.RUNNING])
    if before in {Phase.COMPLETED, Phase.CANCELLED}:
        raise CommandError(f"backfill '{name}' is {before} already", code=ExitCode.USAGE)
    say(
        {"backfill": name, "state": "paused"},
        f"Backfill '{name}' is paused; what is in flight goes on.",
        as_json=as_json,
    )


def _load(name: str) -> Report:
    with connected() as client, clear_errors():
        return report_on(RedisBackfills(client).open(name).load())
