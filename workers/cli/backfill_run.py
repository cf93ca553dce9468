"""`byom backfill run`, `resume` and `cancel`: what drives a backfill."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import redis
import typer
from rich.markup import escape

from config.connections import effective_chain
from config.settings import Settings, load_settings
from config.store import ParameterStore, open_store
from tasks.contract import LIMITS, parse_job
from workers.app import create_app
from workers.backfill.cost import expected_cost
from workers.backfill.creating import Wish, begin
from workers.backfill.definition import WINDOW
from workers.backfill.driving import Clients, Stopped, drive, leased, opened
from workers.backfill.errors import SinkError
from workers.backfill.report import Report
from workers.backfill.state import BackfillState, Held, Phase, RedisBackfills
from workers.backfill.task_body import publish_slice
from workers.cli.backfill_common import NameArgument, clear_errors, connected, report_on, say
from workers.cli.backfill_plan import Results, Where, read_selection
from workers.cli.backfill_views import say_outcome, show_report, shown
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, err, print_json
from workers.cli.documents import pairs
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import RequiredProject, identifier, usd
from workers.cli.signals import stop_signals
from workers.clock import SystemClock
from workers.notify import CallbackCheck

RUN_EXAMPLES = examples(
    "byom backfill run archive.jsonl --project acme --out memories.jsonl",
    "byom backfill run archive.parquet --project acme --name march --budget 50 --out memories.parquet --ordered",
    "byom backfill run /shared/archive.jsonl.gz --project acme --out /shared/memories.jsonl.gz --on-cluster",
    notes="Each line is a whole job (see `byom schema extraction-job.v1`) or a bare episode.\n"
    "Ctrl-C pauses, and the same command, or `byom backfill resume`, goes on; so it does after a crash.\n"
    "Ends with 0 when every line became memories, with 1 when some did not or it paused, with 130 after Ctrl-C.",
)
RESUME_EXAMPLES = examples(
    "byom backfill resume archive",
    "byom backfill resume archive --budget 80",
    "byom backfill resume archive --on-cluster",
)
CANCEL_EXAMPLES = examples(
    "byom backfill cancel archive --yes", notes="What is in flight ends, too. This cannot be taken back."
)

WindowOption = Annotated[int | None, typer.Option(min=1, max=100_000, help=f"Lines in flight at most; {WINDOW:,}.")]
BudgetOption = Annotated[
    Decimal | None, typer.Option(metavar="USD", parser=usd, help="Pause before more than this is spent.")
]
ClusterFlag = Annotated[
    bool, typer.Option("--on-cluster", help="Let workers drive it. They must be able to read FILE and write --out.")
]


def run(
    file: Annotated[Path, typer.Argument(help="JSON Lines, plain or gzip, or Parquet.")],
    project: RequiredProject,
    name: Annotated[
        str | None, typer.Option(help="Name of the backfill; made of the file's unless given.", callback=identifier)
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Where results go: NAME.jsonl, NAME.jsonl.gz or NAME.parquet.")
    ] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Write results in the order of the file.")] = False,
    window: WindowOption = None,
    budget: BudgetOption = None,
    callback_url: Annotated[str | None, typer.Option(metavar="URL", help="Where each job's result is posted.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, of every job; may be repeated.")] = None,
    pack: Annotated[
        int | None, typer.Option(min=1, max=LIMITS.pack_tokens, metavar="TOKENS", help="Let small lines share prompts.")
    ] = None,
    economy: Annotated[
        bool, typer.Option("--economy", help="Take the provider's cheaper, slower ways, up to a day.")
    ] = False,
    results: Results = None,
    where: Where = None,
    on_cluster: ClusterFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a backfill, or go on with it."""
    name = name or name_of(file)
    settings = load_settings()
    # Nothing is begun for a project that could not take a job.
    store = open_store(settings.store_url, key=settings.store_key)
    chain = effective_chain(store, project)
    _check_callback(settings, store, project, callback_url)
    wish = Wish(
        name=name,
        project=project,
        source=str(file),
        out=None if out_file is None else str(out_file),
        ordered=ordered,
        window=window or WINDOW,
        budget=budget,
        callback_url=callback_url,
        labels=pairs(label or [], flag="--label"),
        pack_tokens=pack,
        economy=economy,
        cluster=on_cluster,
    )
    with connected() as client, clear_errors():
        if results or where is not None:
            wish = replace(wish, selection=read_selection(results, where))
        if budget is not None:
            wish = replace(wish, expected_cost=expected_cost(settings, chain[0], wish, now=datetime.now(UTC)))
        new = begin(RedisBackfills(client), wish, now=datetime.now(UTC))
        if not new:
            err.print(f"Backfill '{name}' is there already; going on with it.")
        _go_on(client, name, budget=budget, no_budget=False, window=window, on_cluster=on_cluster, as_json=as_json)


def resume(
    name: NameArgument,
    budget: BudgetOption = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Go on without a budget.")] = False,
    window: WindowOption = None,
    on_cluster: ClusterFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a backfill that was paused, or whose driver died."""
    if budget is not None and no_budget:
        raise typer.BadParameter("--budget and --no-budget contradict each other")
    with connected() as client, clear_errors():
        _go_on(client, name, budget=budget, no_budget=no_budget, window=window, on_cluster=on_cluster, as_json=as_json)


def cancel(
    name: NameArgument,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """End a backfill for good: nothing new is begun, and what is in flight ends as cancelled."""
    ask(f"End backfill '{name}' for good?", yes=yes, as_json=as_json)
    with connected() as client, clear_errors():
        state = RedisBackfills(client).open(name)
        before = state.change(Phase.CANCELLED, why="somebody cancelled it", after=[Phase.RUNNING, Phase.PAUSED])
        if before is Phase.COMPLETED:
            raise CommandError(f"backfill '{name}' is completed already", code=ExitCode.USAGE)
        if not state.load().over:
            # Whoever drives it winds it up; if nobody does, this command.
            try:
                _drive(client, state, name, as_json=as_json)
            except Held as error:
                err.print(f"{escape(error.driver)} drives it and winds it up.")
            except SinkError as error:
                raise CommandError(
                    f"nothing more of backfill '{name}' is begun, but what has ended cannot be written: {error}. Then: "
                    f"byom backfill cancel {name}",
                    code=ExitCode.FAILED,
                ) from error
        done = report_on(state.load())
    say(done.as_json(), f"Backfill '{name}' is cancelled: {done.done:,} lines were done.", as_json=as_json)


def _check_callback(settings: Settings, store: ParameterStore, project: str, url: str | None) -> None:
    """See that results can be posted there, before the first job would be refused for it.

    Raises:
        JobRefused: it is no URL.
        CommandError: nothing may be posted there.
    """
    if url is None:
        return
    job = parse_job({"project": project, "episodes": [{"id": "e", "content": "-"}], "callback_url": url})
    check = CallbackCheck(store, clock=SystemClock(), ttl=0, allow_private=settings.allow_private_endpoints)
    if problem := check.problem(job):
        raise CommandError(f"--callback-url: {problem}", code=ExitCode.USAGE)


def name_of(file: Path) -> str:
    """A name made of the file's."""
    stem = file.name
    for ending in (".gz", ".jsonl", ".json", ".ndjson", ".parquet"):
        stem = stem.removesuffix(ending)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "backfill"


def _go_on(
    client: redis.Redis,
    name: str,
    *,
    budget: Decimal | None,
    no_budget: bool,
    window: int | None,
    on_cluster: bool,
    as_json: bool,
) -> None:
    """Drive a backfill here, or have workers do it."""
    state = RedisBackfills(client).open(name)
    snapshot = state.load()
    if snapshot.driver is not None and not on_cluster and snapshot.orders.cluster and not snapshot.over:
        raise CommandError(
            f"workers drive backfill '{name}'; watch it with: byom backfill status {name}", code=ExitCode.USAGE
        )
    before = state.change(
        Phase.RUNNING,
        after=[Phase.PAUSED, Phase.RUNNING],
        budget=budget,
        no_budget=no_budget,
        window=window,
        cluster=on_cluster,
    )
    if before is Phase.CANCELLED:
        raise CommandError(
            f"backfill '{name}' was cancelled; run the file again under another --name", code=ExitCode.USAGE
        )
    if before is Phase.COMPLETED:
        _conclude(report_on(state.load()), as_json=as_json)
        return
    if on_cluster:
        with create_app(load_settings()) as celery:
            publish_slice(celery, name)
        text = f"Workers drive backfill '{name}'. Watch it with: byom backfill status {name}"
        say(report_on(state.load()).as_json(), text, as_json=as_json)
        return
    _drive(client, state, name, as_json=as_json)
    _conclude(report_on(state.load()), as_json=as_json)


def _drive(client: redis.Redis, state: BackfillState, name: str, *, as_json: bool) -> None:
    """Drive a backfill in this process, until it is over, paused, or somebody presses Ctrl-C.

    Raises:
        Held: another drives it.
        typer.Exit: after Ctrl-C.
    """
    settings = load_settings()
    with stop_signals() as stop:
        lease = leased(state, seconds=settings.backfill_lease, wait=stop.wait, waiting=_say_waiting)
        if lease is None:
            raise typer.Exit(ExitCode.INTERRUPTED)
        try:
            with create_app(settings) as celery:
                store = open_store(settings.store_url, key=settings.store_key)
                clients = Clients(settings=settings, app=celery, store=store, client=client, clock=SystemClock())
                with (
                    opened(name, lease, clients) as driver,
                    shown(driver, lines=state.load().definition.lines, quiet=as_json) as told,
                ):
                    stopped = drive(driver, wait=stop.wait, told=told, away=_Away())
            if stopped is Stopped.ASKED:
                state.change(Phase.PAUSED, why="Ctrl-C", after=[Phase.RUNNING])
        finally:
            state.release(lease)
    if stopped is Stopped.ASKED:
        _say_paused(report_on(state.load()), as_json=as_json)
        raise typer.Exit(ExitCode.INTERRUPTED)


def _say_waiting(error: Held) -> None:
    err.print(f"[yellow]Waiting:[/] {escape(error.driver)} held this backfill a moment ago …")


class _Away:
    """Says once that the broker is away, for as long as it is."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, error: Exception) -> None:
        """Hear of one failure."""
        said = type(error).__name__
        if said != self._said:
            err.print(f"[yellow]Waiting:[/] {escape(str(error).rstrip('.'))}; trying again until it goes on …")
        self._said = said


def _say_paused(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(report.as_json())
        return
    say_outcome(report)
    name = escape(report.snapshot.definition.name)
    err.print(
        f"It is paused; {report.snapshot.in_flight:,} jobs in flight go on, and are kept. "
        f"Go on with: byom backfill resume {name}"
    )


def _conclude(report: Report, *, as_json: bool) -> None:
    """Say how it ended, and end alike.

    Raises:
        typer.Exit: it is not all well.
    """
    if as_json:
        print_json(report.as_json())
    else:
        say_outcome(report)
        if report.snapshot.orders.phase is Phase.PAUSED:
            err.print(f"[yellow]Paused:[/] {escape(report.snapshot.orders.why)}")
        elif report.failures or report.sums.get("invalid"):
            show_report(report)
    if report.snapshot.orders.phase is not Phase.COMPLETED or not report.good:
        raise typer.Exit(ExitCode.FAILED)
