"""`byom health`: how the worker of this machine is, as itself tells; for probes and people."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.settings import load_settings
from workers.cli.console import JsonFlag, out, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.health import judge
from workers.health.file import NoPulse, read_pulse

EXAMPLES = examples(
    "byom health",
    "byom health --ready",
    "byom health --file /run/byom/worker-1.health --json",
    notes="Ends with 0 when the worker is well, with 1 when it is not, with 3 when there is none. Asks no broker and "
    "changes nothing. With BYOM_METRICS_PORT a worker answers the same at /healthz and /readyz.",
)


def health(
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it takes jobs, not only whether it is stuck.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Where the worker keeps its signs of life.", show_default="BYOM_HEALTH_FILE"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell whether the worker of this machine is stuck, and whether it takes jobs; say the mend."""
    named = load_settings().health_file
    path = file or (Path(named) if named else None)
    if path is None:
        raise CommandError(
            "no file is named: set BYOM_HEALTH_FILE for the worker and for this command, or pass --file",
            code=ExitCode.USAGE,
        )
    try:
        found = judge(read_pulse(path), now=time.monotonic())
    except NoPulse as error:
        raise CommandError(str(error), code=ExitCode.UNREACHABLE) from None
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        live = "live" if found.live else "[bold red]stuck[/]"
        out.print(f"{live}, {'ready' if found.ready else '[yellow]not ready[/]'} ({found.stage.value})")
        for problem in found.problems:
            out.print(f"  {escape(problem.what)}\n      → {escape(problem.mend)}")
    if not (found.ready if ready else found.live):
        raise typer.Exit(ExitCode.FAILED)
