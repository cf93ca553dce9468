"""`byom economy`: jobs that wait for a batch, and the batches that vendors have."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import typer
from rich.markup import escape

from config.prices import PICO
from config.settings import load_settings
from workers.cli.console import JsonFlag, out, print_json, table
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import ProjectOption
from workers.economy.controls import (
    BatchView,
    WaitingView,
    ask_to_cancel,
    find_batch,
    list_batches,
    list_waiting,
)
from workers.redis.impatient import connect

app = typer.Typer(help="See and end the batches in which economy jobs are answered.", no_args_is_help=True)

BatchArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the batch, or how it begins.")]

#: Characters of an id that lists show.
_SHOWN = 8


@app.command(
    "list",
    epilog=examples(
        "byom economy list",
        "byom economy list --project acme --all",
        "byom economy list --json | jq '.batches[] | select(.trouble)'",
    ),
)
def list_command(
    project: ProjectOption = None,
    ended: Annotated[bool, typer.Option("--all", help="Also the batches of the last week that are over.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what waits for a batch, and the batches that are under way."""
    with connect(load_settings().redis_url) as client:
        waiting = list_waiting(client, project=project)
        batches = list_batches(client, project=project, ended=ended)
    if as_json:
        print_json({"waiting": [asdict(view) for view in waiting], "batches": [asdict(view) for view in batches]})
        return
    if not waiting and not batches:
        out.print("No job waits for a batch, and none is under way. `byom enqueue --economy` makes jobs that may.")
        return
    _show_waiting(waiting)
    _show_batches(batches)


@app.command(epilog=examples("byom economy show 7f3a", "byom economy show 7f3a --json"))
def show(batch: BatchArgument, as_json: JsonFlag = False) -> None:
    """Show one batch: how far it is, what came of it, and what stands in its way."""
    with connect(load_settings().redis_url) as client:
        view = _found(find_batch(client, batch), batch)
    if as_json:
        print_json(asdict(view))
        return
    lines = {
        "batch": view.id,
        "project": view.project,
        "connection": f"{view.connection} ({view.provider}, {view.model})",
        "state": _state(view),
        "jobs": f"{view.jobs:,}",
        "calls": f"{view.items:,}",
        "age": _span(view.age),
        "at the vendor": view.vendor_id or "not yet",
        "outcome": ", ".join(f"{number:,} {word}" for word, number in view.outcome.items()) or "none yet",
        "set aside": f"{Decimal(view.reserved) / PICO:.6f} USD of the budgets",
        "trouble": view.trouble or "none",
    }
    for name, value in lines.items():
        out.print(f"{name:<14} {escape(value)}", soft_wrap=True)


@app.command(epilog=examples("byom economy cancel 7f3a"))
def cancel(batch: BatchArgument, as_json: JsonFlag = False) -> None:
    """End a batch early: what is answered by then is kept, and its other calls are made live at the full price."""
    with connect(load_settings().redis_url) as client:
        view = _found(find_batch(client, batch), batch)
        asked = ask_to_cancel(client, view.id)
    if as_json:
        print_json({"batch": view.id, "cancel": asked})
    elif asked:
        out.print(f"Batch {view.id} of project '{view.project}' will be ended; its {view.jobs:,} jobs go on after it.")
    else:
        out.print(f"Batch {view.id} is over already; nothing was changed.")


def _found(view: BatchView | None, name: str) -> BatchView:
    if view is None:
        raise CommandError(
            f"no batch, or more than one, has an id that begins with '{name}'; see: byom economy list --all",
            code=ExitCode.USAGE,
        )
    return view


def _show_waiting(views: list[WaitingView]) -> None:
    if views:
        rows = ((view.project, view.connection, f"{view.jobs:,}", _span(view.oldest_age)) for view in views)
        out.print(table(("PROJECT", "CONNECTION", "WAITING", "OLDEST"), rows, right=("WAITING", "OLDEST")))


def _show_batches(views: list[BatchView]) -> None:
    if views:
        columns = ("BATCH", "PROJECT", "CONNECTION", "MODEL", "STATE", "JOBS", "CALLS", "AGE", "OUTCOME")
        out.print(table(columns, map(_row, views), right=("JOBS", "CALLS", "AGE")))


def _row(view: BatchView) -> tuple[str, ...]:
    outcome = " ".join(f"{word}:{number:,}" for word, number in view.outcome.items())
    return (
        view.id[:_SHOWN],
        view.project,
        view.connection,
        view.model,
        _state(view),
        f"{view.jobs:,}",
        f"{view.items:,}",
        _span(view.age),
        outcome or ("trouble" if view.trouble else ""),
    )


def _state(view: BatchView) -> str:
    return f"{view.state}, to be ended" if view.cancel and view.state not in {"read", "closed"} else view.state


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
