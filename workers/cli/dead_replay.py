"""`byom dead replay` and `byom dead discard`: what changes dead letters."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from config.settings import load_settings
from config.store import open_store
from tasks.contract import Priority
from workers.app import create_app
from workers.cli.confirming import YesFlag, must_ask
from workers.cli.console import JsonFlag, err, out, print_json, progress
from workers.cli.dead_options import MOST_LETTERS, AllFlag, require_selection, selected_pages, selects
from workers.cli.dead_views import show_counts
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.dead.letter import Letter
from workers.dead.replay import BATCH, Fate, Outcome, Replayer
from workers.dead.selection import Selection
from workers.dead.shelf import Shelf
from workers.redis.impatient import connect

#: Reasons that are told apart when letters stay.
_REASONS = 10

REPLAY_EXAMPLES = examples(
    "byom dead replay --cause credential_rejected --project acme --dry-run",
    "byom dead replay --credential main@3 --since 24h",
    "byom dead replay --cause provider_unavailable,provider_timeout --priority backfill --yes",
    "byom dead replay --id 7f9c24e8-3b12-4fef-91e0-5a1d9b4c8e21 --yes",
    notes="Each runs under the id and the idempotency key that it had, on its project's present connections, and pays\n"
    "for nothing twice. Ends with 1 when some could not be replayed.",
)
DISCARD_EXAMPLES = examples(
    "byom dead discard --cause content_refused --until 7d --dry-run",
    "byom dead discard --project acme --yes",
    "byom dead discard --all --yes",
)

DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and do nothing.")]
LimitOption = Annotated[int | None, typer.Option(min=1, max=MOST_LETTERS, help="At most so many, the oldest first.")]


@selects
def replay(
    selected: Selection,
    everything: AllFlag = False,
    limit: LimitOption = None,
    priority: Annotated[Priority | None, typer.Option(help="How long they may wait; without it as before.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were replayed and never ended, as after a lost broker.")
    ] = False,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run jobs that failed again, once what they failed of is mended."""
    require_selection(selected, everything=everything)
    settings = load_settings()
    with ExitStack() as exits:
        client = exits.enter_context(connect(settings.redis_url))
        shelf = Shelf(client)
        letters = _letters(shelf, selected, limit=limit, dead_only=not again)
        if dry_run:
            _say_what(letters, "would be replayed", as_json=as_json)
            return
        total = _confirm(letters, "Replay", yes=yes, as_json=as_json)
        celery = exits.enter_context(create_app(settings))
        exits.callback(cast("Any", celery.backend).client.connection_pool.disconnect)
        with connect(settings.backend_url) as results:
            # Celery itself would try for minutes.
            results.ping()
        store = open_store(settings.store_url, key=settings.store_key)
        replayer = Replayer(app=celery, client=client, store=store, settings=settings)
        outcomes = _replay(replayer, letters, priority=priority, again=again, total=total, quiet=as_json)
    _report(outcomes, as_json=as_json)


@selects
def discard(
    selected: Selection,
    everything: AllFlag = False,
    limit: LimitOption = None,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Throw away what is kept of jobs that failed; their results and usage stay as long as they do anyway."""
    require_selection(selected, everything=everything)
    with connect(load_settings().redis_url) as client:
        shelf = Shelf(client)
        letters = _letters(shelf, selected, limit=limit, dead_only=False)
        if dry_run:
            _say_what(letters, "would be thrown away", as_json=as_json)
            return
        total = _confirm(letters, "Throw away", yes=yes, as_json=as_json)
        gone = 0
        with progress(quiet=as_json) as bar:
            task = bar.add_task("throwing away", total=total)
            for batch in _batches(letters):
                gone += shelf.remove([letter.id for letter in batch])
                bar.update(task, advance=len(batch))
    if as_json:
        print_json({"discarded": gone})
    else:
        out.print(f"Threw away {gone:,} failed jobs.")


def _letters(shelf: Shelf, selected: Selection, *, limit: int | None, dead_only: bool) -> list[Letter]:
    """The letters that a command is about, the oldest first; without their contents, so many are no matter."""
    found = chain.from_iterable(selected_pages(shelf, selected))
    return list(islice((letter for letter in found if not dead_only or letter.replayed_at is None), limit))


def _batches(letters: list[Letter]) -> Iterator[list[Letter]]:
    for start in range(0, len(letters), BATCH):
        yield letters[start : start + BATCH]


def _replay(
    replayer: Replayer,
    letters: list[Letter],
    *,
    priority: Priority | None,
    again: bool,
    total: int,
    quiet: bool,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with progress(quiet=quiet) as bar:
        task = bar.add_task("replaying", total=total)
        for batch in _batches(letters):
            outcomes += replayer.replay(batch, priority=priority, again=again)
            bar.update(task, advance=len(batch))
    return outcomes


def _say_what(letters: list[Letter], what: str, *, as_json: bool) -> None:
    causes = Counter(str(letter.about.code) for letter in letters)
    if as_json:
        print_json({"jobs": len(letters), "causes": dict(causes)})
        return
    out.print(f"{len(letters):,} jobs {what}.")
    if causes:
        show_counts(causes.most_common(), group="cause")


def _confirm(letters: list[Letter], what: str, *, yes: bool, as_json: bool) -> int:
    """How many letters there are, once somebody has said yes.

    Raises:
        CommandError: nobody can be asked.
        typer.Abort: the answer was no.
    """
    if letters and must_ask(yes=yes, as_json=as_json):
        causes = Counter(str(letter.about.code) for letter in letters).most_common(_REASONS)
        err.print(", ".join(f"{code}: {count:,}" for code, count in causes))
        typer.confirm(f"{what} {len(letters):,} failed jobs?", abort=True, err=True)
    return len(letters)


def _report(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Say what became of all of them; ends with 1 when some stay although they should not.

    Raises:
        typer.Exit: some stay.
    """
    fates = Counter(outcome.fate for outcome in outcomes)
    reasons = Counter(outcome.message for outcome in outcomes if outcome.message is not None)
    if as_json:
        print_json({**{fate.value: fates[fate] for fate in Fate}, "reasons": dict(reasons.most_common(_REASONS))})
    elif not outcomes:
        err.print("No job is dead, of those that are selected.")
    else:
        out.print(f"{fates[Fate.REPLAYED]:,} jobs are on their way again; see: byom dead list")
        if fates[Fate.UNDER_WAY]:
            out.print(f"{fates[Fate.UNDER_WAY]:,} were on their way already.")
        if fates[Fate.OVER]:
            out.print(f"{fates[Fate.OVER]:,} need no replay any more.")
        for message, count in reasons.most_common(_REASONS):
            err.print(f"[bold red]{count:,} stay:[/] {escape(message)}")
    if fates[Fate.LEFT]:
        raise typer.Exit(ExitCode.FAILED)
