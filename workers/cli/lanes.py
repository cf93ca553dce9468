"""`byom lanes`: where jobs wait for their meters; looking, pausing, waking, emptying."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Annotated, Any, cast

import redis
import typer
from celery import Celery
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from config.connections import EffectiveConnection, effective_chain, read_project
from config.connections.paths import Level
from config.connections.profiles import LEAST_WEIGHT, MOST_WEIGHT
from config.errors import ConfigError
from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import Priority, ProviderKind, provider_queue
from workers.app import create_app
from workers.cli.confirming import YesFlag, must_ask
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.levels import is_new
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import ProjectOption, RequiredProject, identifier
from workers.cli.pauses import paused_projects, resume_command
from workers.cli.saving import print_warnings
from workers.configuration.admin import Admin
from workers.lanes.control import Lanes, Which
from workers.lanes.emptying import Taken, empty_lanes
from workers.lanes.ending import cancel, move, moved_message
from workers.lanes.sessions import empty_behind, rewrite_behind
from workers.lanes.views import LaneView, list_lanes, list_pauses
from workers.redis.impatient import connect

app = typer.Typer(help="See and control where jobs wait for their connection.", no_args_is_help=True)

PriorityOption = Annotated[Priority | None, typer.Option(help="Only jobs of this class.")]
ProviderOption = Annotated[ProviderKind | None, typer.Option(help="Only jobs that wait for this provider.")]


@app.command(
    "list",
    epilog=examples(
        "byom lanes list",
        "byom lanes list --project acme --watch 2",
        "byom lanes list --json | jq '.[] | select(.oldest_age > 60)'",
    ),
)
def list_command(
    project: ProjectOption = None,
    priority: PriorityOption = None,
    provider: ProviderOption = None,
    watch: Annotated[float | None, typer.Option(min=0.2, help="Look again every so many seconds.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every lane in which jobs wait: how many, how old, what for, and when the next may go."""
    which = _which(project, priority, provider)
    with connect(load_settings().redis_url) as client:
        if watch is None:
            lanes = list_lanes(client, which)
            _show(lanes, as_json=as_json)
            if not as_json:
                _remind(client, project, lanes)
        elif as_json:
            while True:
                _show(list_lanes(client, which), as_json=True)
                time.sleep(watch)
        else:
            _watch(client, which, seconds=watch)


@app.command(epilog=examples("byom lanes pause --project acme", "byom lanes pause -p acme --priority backfill"))
def pause(
    project: RequiredProject,
    priority: PriorityOption = None,
    provider: ProviderOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Hand out no more jobs of a project, present and future, until it is resumed; what runs goes on.

    New jobs are still accepted. Patience stands still meanwhile.
    """
    settings = load_settings()
    with connect(settings.redis_url) as client:
        lanes = Lanes(client).pause(project=project, priority=priority, queue=_queue(provider))
        waiting = Lanes(client).waiting(project)
    # Where the store is away, pausing must work all the same.
    with suppress(ConfigError):
        if is_new(configured_store(), Level.project(project)):
            print_warnings([f"project '{project}' is not configured; is its name right? See: byom project list"])
    if as_json:
        print_json({"project": project, "paused": True, "lanes": lanes, "waiting": waiting})
    else:
        out.print(f"Paused project '{project}'{_of(priority, provider)}; {waiting:,} of its jobs wait.")
        out.print(f"To let them go again: {resume_command(project)}")


@app.command(epilog=examples("byom lanes resume --project acme"))
def resume(
    project: RequiredProject,
    priority: PriorityOption = None,
    provider: ProviderOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let the jobs of a paused project go again."""
    with connect(load_settings().redis_url) as client:
        lanes = Lanes(client).resume(project=project, priority=priority, queue=_queue(provider))
        waiting = Lanes(client).waiting(project)
    if as_json:
        print_json({"project": project, "paused": False, "lanes": lanes, "waiting": waiting})
    else:
        out.print(f"Resumed project '{project}'{_of(priority, provider)}; {waiting:,} of its jobs wait for their turn.")


@app.command(epilog=examples("byom lanes wake --project acme", "byom lanes wake --reason credential"))
def wake(
    project: ProjectOption = None,
    priority: PriorityOption = None,
    provider: ProviderOption = None,
    reason: Annotated[str | None, typer.Option(help="Only what waits for this, as `byom lanes list` shows it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """End waits at once, such as after a limit was raised; what still cannot go waits again."""
    with connect(load_settings().redis_url) as client:
        ended = Lanes(client).wake(_which(project, priority, provider), reason=reason)
    if as_json:
        print_json({"ended": ended})
    else:
        out.print(f"{ended:,} waits ended." if ended else "Nothing waited for that.")


@app.command(epilog=examples("byom lanes weight 3 --project acme", "byom lanes weight 1 --project acme"))
def weight(
    share: Annotated[float, typer.Argument(min=LEAST_WEIGHT, max=MOST_WEIGHT, help="3 gets three times what 1 gets.")],
    project: RequiredProject,
    as_json: JsonFlag = False,
) -> None:
    """Set a project's share beside others, from now on and also for what waits already."""
    settings = load_settings()
    with Admin.opened(settings) as admin:
        profile = read_project(admin.store, project)
        if profile is None:
            raise CommandError(f"there is no project '{project}'; see: byom project list", code=ExitCode.USAGE)
        admin.save_project(project, profile.model_copy(update={"weight": share}))
        warn_if_not_announced(admin, settings)
    if as_json:
        print_json({"project": project, "weight": share})
    else:
        out.print(f"Project '{project}' has weight {share:g} now.")


@app.command(epilog=examples("byom lanes drain --project acme --priority backfill --yes"))
def drain(
    project: RequiredProject,
    priority: PriorityOption = None,
    provider: ProviderOption = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """End every waiting job of a project: each fails with `cancelled`, and whoever waits for it is told."""
    settings = load_settings()
    which = _which(project, priority, provider)
    with connect(settings.redis_url) as client, _celery(settings) as celery:
        _confirm(client, which, f"End them all as failed{_of(priority, provider)}?", yes=yes, as_json=as_json)

        def handle(taken: Taken) -> None:
            cancel(celery, taken, client=client, state_ttl=settings.job_state_ttl)

        # First those behind, so that none follows the one that ends before it.
        ended = empty_behind(client, which, handle) + empty_lanes(client, which, handle)
    if as_json:
        print_json({"project": project, "ended": ended})
    else:
        out.print(f"{ended:,} jobs of project '{project}' ended as failed (cancelled).")


@app.command("move", epilog=examples("byom lanes move --project acme --from primary --to fallback"))
def move_command(
    project: RequiredProject,
    source: Annotated[str, typer.Option("--from", help="The connection that they wait for.", callback=identifier)],
    target: Annotated[str, typer.Option("--to", help="The connection that they are to use.", callback=identifier)],
    priority: PriorityOption = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Send every waiting job of a project from one of its connections to another."""
    settings = load_settings()
    chain = effective_chain(open_store(settings.store_url, key=settings.store_key), project)
    origin, destination = _named(chain, source, project), _named(chain, target, project)
    if origin.key == destination.key:
        raise CommandError(
            f"'{source}' and '{target}' share one credential and model: their jobs wait in the same lane",
            code=ExitCode.USAGE,
        )
    which = Which(
        queue=provider_queue(origin.connection.provider),
        meter=origin.key,
        project=project,
        priority=priority and priority.value,
    )
    with connect(settings.redis_url) as client, _celery(settings) as celery:
        _confirm(client, which, f"Move them all to '{target}'?", yes=yes, as_json=as_json)

        def handle(taken: Taken) -> None:
            move(celery, taken, destination, chain)

        try:
            moved = rewrite_behind(client, which, lambda taken: moved_message(taken, destination, chain))
            moved += empty_lanes(client, which, handle)
        except ValueError as error:
            raise CommandError(
                f"a job in the lane is not one that can be moved ({error}); it is still there. "
                f"byom lanes drain --project {project} ends it",
                code=ExitCode.FAILED,
            ) from None
    if as_json:
        print_json({"project": project, "from": source, "to": target, "moved": moved})
    else:
        out.print(f"{moved:,} jobs of project '{project}' now wait for connection '{target}'.")


@contextmanager
def _celery(settings: Settings) -> Iterator[Celery]:
    """The pool's app, which leaves no connection open."""
    with create_app(settings) as celery:
        try:
            yield celery
        finally:
            cast("Any", celery.backend).client.connection_pool.disconnect()


def _which(project: str | None, priority: Priority | None, provider: ProviderKind | None) -> Which:
    return Which(queue=_queue(provider), priority=priority and priority.value, project=project)


def _queue(provider: ProviderKind | None) -> str | None:
    return provider_queue(provider) if provider else None


def _of(priority: Priority | None, provider: ProviderKind | None) -> str:
    words = [priority.value] if priority else []
    words += [f"at {provider.value}"] if provider else []
    return f" ({', '.join(words)})" if words else ""


def _named(chain: Sequence[EffectiveConnection], name: str, project: str) -> EffectiveConnection:
    for effective in chain:
        if effective.connection.name == name:
            return effective
    names = ", ".join(effective.connection.name for effective in chain)
    raise CommandError(f"project '{project}' has no connection '{name}'; it has: {names}", code=ExitCode.USAGE)


def _confirm(client: redis.Redis, which: Which, question: str, *, yes: bool, as_json: bool) -> None:
    if must_ask(yes=yes, as_json=as_json):
        waiting = sum(lane.depth + lane.behind for lane in list_lanes(client, which))
        typer.confirm(f"{waiting:,} jobs of project '{which.project}' wait. {question}", abort=True, err=True)


def _show(lanes: Sequence[LaneView], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(lane) for lane in lanes])
    elif not lanes:
        err.print("No job waits in a lane.")
    else:
        out.print(lanes_table(lanes))


def _remind(client: redis.Redis, project: str | None, lanes: Sequence[LaneView]) -> None:
    """Name what is paused and has nothing waiting, for no line of the table shows it."""
    shown = {(lane.project, lane.priority) for lane in lanes if lane.paused}
    unseen = [pause for pause in list_pauses(client, project) if (pause.project, pause.priority) not in shown]
    for words, name in paused_projects(unseen):
        err.print(f"[yellow]Paused:[/] {escape(words)}; nothing of it waits. See: {escape(resume_command(name))}")


def _watch(client: redis.Redis, which: Which, *, seconds: float) -> None:
    with Live(console=out, auto_refresh=False) as live:
        while True:
            lanes = list_lanes(client, which)
            live.update(lanes_table(lanes) if lanes else "No job waits in a lane.", refresh=True)
            time.sleep(seconds)


def lanes_table(lanes: Sequence[LaneView]) -> Table:
    """A table of lanes, those with the oldest jobs first."""
    columns = (
        "PROJECT",
        "CONNECTION",
        "CLASS",
        "PROVIDER",
        "JOBS",
        "BEHIND",
        "TOKENS",
        "OLDEST",
        "NEXT",
        "WAITS FOR",
        "WEIGHT",
    )
    ordered = sorted(lanes, key=lambda lane: -lane.oldest_age)
    return table(columns, map(_row, ordered), right=("JOBS", "BEHIND", "TOKENS", "OLDEST", "NEXT", "WEIGHT"))


def _row(lane: LaneView) -> list[str]:
    return [
        lane.project,
        lane.connection,
        lane.priority,
        lane.queue.rpartition(".")[2],
        f"{lane.depth:,}",
        f"{lane.behind:,}" if lane.behind else "",
        f"{lane.tokens:,}",
        _span(lane.oldest_age),
        "" if lane.next_release is None else "now" if not lane.next_release else _span(lane.next_release),
        lane.why or "its turn",
        f"{lane.weight:g}",
    ]


def _span(seconds: float) -> str:
    """A duration in the largest unit of which there are two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
