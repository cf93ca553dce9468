"""`byom verify`: calls every connection of a project once, and says what is wrong with those that do not work."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from config.settings import load_settings
from config.store import open_store
from workers.cli.console import JsonFlag, counted, out, print_json, table
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.options import RequiredProject, identifier
from workers.cli.verifying import print_checks, verify_all
from workers.clock import SystemClock
from workers.verification import Verification
from workers.verification.service import candidates

EXAMPLES = examples(
    "byom verify --project acme",
    "byom verify --project acme --connection fallback --json",
    notes="Each connection makes one real call of some 60 tokens. Ends with 0 when all work (warnings are allowed),\n"
    "else with 1.",
)


def verify(
    project: RequiredProject,
    connection: Annotated[
        str | None, typer.Option("--connection", help="Only the connection of this name.", callback=identifier)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Call every connection of a project once: address, key, permission, model, structured output, reasoning off."""
    settings = load_settings()
    store = open_store(settings.store_url, key=settings.store_key)
    found = candidates(store, project, connection=connection)
    ready = [candidate for candidate in found if not isinstance(candidate, Verification)]
    called = iter(verify_all(settings, ready, clock=SystemClock(), quiet=as_json))
    reports = [candidate if isinstance(candidate, Verification) else next(called) for candidate in found]
    _print(reports, as_json=as_json)
    if not all(report.ok for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def _print(reports: Sequence[Verification], *, as_json: bool) -> None:
    if as_json:
        print_json([report.as_json() for report in reports])
        return
    for report in reports:
        heading = f"{report.connection}: {report.provider.value} {report.model}"
        out.print(f"[bold]{escape(heading)}[/]")
        print_checks(out, report)
        out.print()
    columns = ("CONNECTION", "PROVIDER", "MODEL", "RESULT", "CALLS", "TOKENS", "COST USD", "SECONDS")
    out.print(table(columns, map(_row, reports), right=("CALLS", "TOKENS", "COST USD", "SECONDS")))


def _row(report: Verification) -> list[str]:
    failure, warnings = report.failure, len(report.warnings)
    works = "works" if not warnings else f"works, {counted(warnings, 'warning')}"
    return [
        report.connection,
        report.provider.value,
        report.model,
        works if failure is None or failure.problem is None else failure.problem.value.replace("_", " "),
        str(len(report.attempts)),
        str(report.usage.total),
        "unknown" if report.cost_usd is None else f"{report.cost_usd:.6f}",
        f"{report.latency:.1f}",
    ]
