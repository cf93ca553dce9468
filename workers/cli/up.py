"""`byom up`: Valkey, a worker and Flower on this machine, in one foreground command."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.connections import list_projects
from config.settings import Settings, load_settings
from config.store import open_store
from workers.cli.console import JsonFlag, err, out, print_json
from workers.cli.context import put_flags
from workers.cli.examples import examples
from workers.cli.laptop import Laptop, laptop
from workers.cli.signals import stop_signals

EXAMPLES = examples(
    "byom up",
    "byom up --port 6380 --flower-port 5556 --data-dir ~/.local/share/byom",
    notes="Ctrl-C stops everything and ends with 0; pressed twice it does not wait for jobs in hand. "
    "If a process dies, its last lines are shown and the command ends with 1.",
)

_COLOURS = {"worker": "cyan", "flower": "magenta"}
#: Seconds beyond the worker's own drain before a process is killed.
_MARGIN = 5.0


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of Valkey; 0 takes a free one.")] = 6379,
    flower_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of Flower; 0 takes a free one.")] = 5555,
    data_dir: Annotated[Path, typer.Option(help="Where Valkey keeps its data.", file_okay=False)] = Path(".byom"),
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-c", min=1, help="Jobs in hand at once, in place of BYOM_CONCURRENCY.", show_default=False
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run Valkey, a worker and Flower until Ctrl-C, reachable from this machine only."""
    put_flags(concurrency=concurrency)
    settings = load_settings()

    def say(name: str, line: str) -> None:
        err.print(f"[{_COLOURS[name]}]{name:>7}[/] {escape(line)}")

    with (
        stop_signals() as stop,
        laptop(
            settings,
            port=port,
            flower_port=flower_port,
            data_dir=data_dir.expanduser(),
            grace=settings.shutdown_timeout + _MARGIN,
            sink=say,
            stop=stop,
        ) as running,
    ):
        if not stop.wanted:
            _announce(running, data_dir, as_json=as_json)
        while not stop.wait(1):
            running.check()
        err.print("Stopping; press Ctrl-C again to not wait for jobs in hand.")
    err.print("Stopped.")


def _announce(running: Laptop, data_dir: Path, *, as_json: bool) -> None:
    settings = running.settings
    projects = list_projects(open_store(settings.store_url, key=settings.store_key))
    if as_json:
        document = {
            "broker_url": settings.redis_url,
            "flower_url": running.flower_url,
            "flower_login": running.flower_login.get_secret_value() if running.flower_login else None,
            "store_url": settings.store_url,
            "data_dir": str(data_dir),
            "projects": projects,
            "processes": running.stack.pids(),
        }
        print_json(document)
        return
    out.print()
    out.print(f"  Valkey    {settings.redis_url}  (data in {escape(str(data_dir))})")
    out.print(f"  Flower    {running.flower_url}  ({escape(running.login_hint)})")
    out.print(f"  Store     {escape(settings.store_url)}")
    out.print(f"  Projects  {escape(', '.join(projects)) or 'none yet; see: byom connection add --help'}")
    if settings.redis_url != Settings.model_fields["broker_url"].default.get_secret_value():
        out.print(f"\n  In other terminals: [bold]export BYOM_BROKER_URL={settings.redis_url}[/]")
    out.print("\n  Ctrl-C stops everything.\n")
