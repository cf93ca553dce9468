"""`byom dead`: the jobs that failed; looking into them, running them again, throwing them away."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from typing import IO, Annotated

import redis
import typer

from config.settings import Settings, load_settings
from workers.broker.unacked import KEYS
from workers.cli.console import JsonFlag, err, print_json
from workers.cli.dead_options import MOST_LETTERS, selected_pages, selects
from workers.cli.dead_replay import DISCARD_EXAMPLES, REPLAY_EXAMPLES, discard, replay
from workers.cli.dead_views import as_json as letter_as_json
from workers.cli.dead_views import show_counts, show_letter, show_table, with_contents
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.dead.letter import Contents, Letter
from workers.dead.sealing import Sealed, Sealing
from workers.dead.selection import GROUPS, Selection, counted
from workers.dead.shelf import Shelf
from workers.redis.impatient import connect

app = typer.Typer(help="Look into the jobs that failed, run them again, or throw them away.", no_args_is_help=True)


@app.command(
    "list",
    epilog=examples(
        "byom dead list",
        "byom dead list --by cause",
        "byom dead list --project acme --cause credential_rejected --credential main@3 --since 24h",
        "byom dead list --label backfill:spring --json | jq -r .job_id",
        notes=f"Counts by: {', '.join(GROUPS)}.",
    ),
)
@selects
def list_command(
    selected: Selection,
    by: Annotated[str | None, typer.Option(help="Count them by this instead.", show_default=False)] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_LETTERS, help="Show at most so many; without it 50, and all with --json."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the jobs that failed, the newest first, or count them."""
    if by is not None and by not in GROUPS:
        raise typer.BadParameter(f"--by takes one of: {', '.join(GROUPS)}")
    with _shelf(load_settings()) as (client, shelf):
        letters = chain.from_iterable(selected_pages(shelf, selected, newest_first=True))
        if by is not None:
            _count(letters, by, none=_none(selected), as_json=as_json)
        elif as_json:
            for letter in islice(letters, limit):
                print_json(letter_as_json(letter))
        else:
            _show(letters, limit or 50, none=_none(selected))
        if not as_json:
            _remark(client, shelf)


@app.command(
    epilog=examples(
        "byom dead show 7f9c24e8-3b12-4fef-91e0-5a1d9b4c8e21",
        "byom dead show 7f9c24e8-3b12-4fef-91e0-5a1d9b4c8e21 --payload --json | jq .job",
        notes="--payload shows what your customers said: mind who sees your screen.",
    )
)
def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    payload: Annotated[bool, typer.Option("--payload", help="Show the job itself, with what was said in it.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show why one job failed: its cause, and every call that was made for it."""
    settings = load_settings()
    sealing = Sealing.of(settings.dead_letter_key)
    with _shelf(settings) as (_, shelf):
        found = shelf.some([job_id])
        if not found:
            raise CommandError(
                f"there is no dead letter of job '{job_id}': it did not fail, was replayed well or discarded, or its "
                "time is over. See: byom dead list",
                code=ExitCode.FAILED,
            )
        letter, contents, remark = found[0], None, None
        try:
            contents = shelf.contents(letter, sealing)
        except Sealed as error:
            if payload:
                raise CommandError(str(error), code=ExitCode.FAILED) from None
            remark = f"Its history cannot be shown: {error}."
    if not as_json:
        show_letter(letter, contents, payload=payload, remark=remark)
    elif contents is None:
        print_json(letter_as_json(letter))
    else:
        print_json(with_contents(letter, contents, payload=payload))


@app.command(
    epilog=examples(
        "byom dead export --since 24h > failed.jsonl",
        "byom dead export --project acme --payload --out failed.jsonl",
        "byom dead export --cause context_too_long --payload | jq -c .job | byom enqueue - --project acme",
        notes="With --payload each line holds what your customers said: mind where it goes.",
    )
)
@selects
def export(
    selected: Selection,
    payload: Annotated[bool, typer.Option("--payload", help="Write the jobs themselves too.")] = False,
    target: Annotated[str, typer.Option("--out", help="The file to write; - is stdout.")] = "-",
    as_json: JsonFlag = False,
) -> None:
    """Write the jobs that failed as JSON Lines, oldest first: cause, history and, with --payload, the job itself."""
    settings = load_settings()
    sealing = Sealing.of(settings.dead_letter_key)
    written = unread = 0
    with ExitStack() as exits:
        _, shelf = exits.enter_context(_shelf(settings))
        file = exits.enter_context(_writing(target))
        for letter in chain.from_iterable(selected_pages(shelf, selected)):
            contents = _contents(shelf, letter, sealing)
            if contents is None:
                unread += 1
                continue
            document = with_contents(letter, contents, payload=payload)
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
            written += 1
    if as_json and target != "-":
        print_json({"written": written, "unread": unread})
    else:
        err.print(f"Wrote {written:,} failed jobs.")
    if unread:
        err.print(
            f"[yellow]{unread:,} could not be read: they are gone by now, or BYOM_DEAD_LETTER_KEY lacks their key.[/]"
        )
        raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _shelf(settings: Settings) -> Iterator[tuple["redis.Redis", Shelf]]:
    """The letters, without those whose time is over."""
    with connect(settings.redis_url) as client:
        shelf = Shelf(client)
        shelf.expire(before=datetime.now(UTC).timestamp() - settings.dead_letter_ttl)
        yield client, shelf


@contextmanager
def _writing(target: str) -> Iterator[IO[str]]:
    if target == "-":
        yield sys.stdout
        return
    try:
        # What customers said is for the eyes of whoever asked for it.
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}", code=ExitCode.USAGE) from error


def _contents(shelf: Shelf, letter: Letter, sealing: Sealing) -> Contents | None:
    try:
        return shelf.contents(letter, sealing)
    except Sealed:
        return None


def _count(letters: Iterator[Letter], by: str, *, none: str, as_json: bool) -> None:
    counts = counted(letters, by).most_common()
    if as_json:
        for name, count in counts:
            print_json({by: name, "jobs": count})
    elif counts:
        show_counts(counts, group=by)
    else:
        err.print(none)


def _none(selected: Selection) -> str:
    return "No job is dead." if selected.is_everything else "No job is dead, of those that are selected."


def _show(letters: Iterator[Letter], limit: int, *, none: str) -> None:
    shown = list(islice(letters, limit))
    if not shown:
        err.print(none)
        return
    show_table(shown)
    if next(letters, None) is not None:
        err.print(f"There are more than these {limit:,}: see --limit, --by, or select some.")


def _remark(client: "redis.Redis", shelf: Shelf) -> None:
    """Say what else there is to know."""
    census = shelf.census()
    if census.dropped:
        err.print(f"[yellow]{census.dropped:,} failed jobs were dropped because there were too many to keep.[/]")
    if malformed := int(client.llen(KEYS.malformed)):
        err.print(f"{malformed:,} messages that no worker can read are set aside in the list {KEYS.malformed}.")


app.command(epilog=REPLAY_EXAMPLES)(replay)
app.command(epilog=DISCARD_EXAMPLES)(discard)
