"""What the commands below `byom usage` share: where usage comes from, and how a reader goes on until it is stopped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import redis
import typer
from rich.markup import escape

from config.settings import Settings
from workers.cli.console import err
from workers.cli.errors import CommandError, ExitCode
from workers.cli.signals import stop_signals
from workers.ledger import UsageReader, UsageSource
from workers.ledger.errors import LedgerError, LedgerUnavailable
from workers.ledger.stream import Cursor, Gap, RecordStream
from workers.redis.impatient import connect

if TYPE_CHECKING:
    from workers.ledger.sql.database import Database

#: Seconds to wait for new records, and until another try when a server is away: first, and at most.
_WAIT = 1.0
_FIRST_RETRY = 1.0
_LAST_RETRY = 30.0


class Source(StrEnum):
    """Where usage is read."""

    SUMS = "sums"
    SQL = "sql"


SourceOption = Annotated[
    Source, typer.Option("--from", help="The hourly sums, or the database of BYOM_LEDGER_URL (`byom usage sync`).")
]


@contextmanager
def ledger_errors() -> Iterator[None]:
    """Turn errors of the ledger into errors of commands."""
    try:
        yield
    except LedgerError as error:
        code = ExitCode.UNREACHABLE if isinstance(error, LedgerUnavailable) else ExitCode.USAGE
        raise CommandError(str(error), code=code) from error


def open_database(settings: Settings) -> "Database":
    """The ledger's database.

    Raises:
        CommandError: it is not configured, or its extra is not installed.
        LedgerError: it cannot be used.
    """
    if settings.ledger_url is None:
        raise CommandError(
            "no database is configured; set BYOM_LEDGER_URL to sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
            code=ExitCode.USAGE,
        )
    try:
        from workers.ledger.sql.database import Database  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise CommandError(
            f"'{error.name}' is not installed: install the extra 'sql' (pip install -e '.[sql]')", code=ExitCode.USAGE
        ) from None
    return Database.open(settings.ledger_url)


@contextmanager
def usage_source(settings: Settings, source: Source, *, now: datetime) -> Iterator[UsageSource]:
    """Where usage tables come from."""
    with ExitStack() as exits:
        exits.enter_context(ledger_errors())
        if source is Source.SUMS:
            yield UsageReader(exits.enter_context(connect(settings.redis_url)), now=now)
            return
        database = exits.enter_context(open_database(settings))
        from workers.ledger.sql.reader import SqlReader  # noqa: PLC0415 - an extra

        yield SqlReader(database, now=now)


def go_on(run: Callable[[Callable[[], bool]], Cursor], stream: RecordStream, *, follow: bool) -> None:
    """Run once, or again and again as records come in, until a stop signal; a server that is away is waited for.

    Args:
        run: reads to the end of the stream, or until what it is given says to stop; returns up to where it has read.
        stream: is waited on in between.
        follow: whether to go on.
    """
    if not follow:
        run(lambda: False)
        return
    pause = _FIRST_RETRY
    with stop_signals() as stop:
        while not stop.wanted:
            try:
                cursor = run(lambda: stop.wanted)
                pause = _FIRST_RETRY
                if not stop.wanted:
                    stream.wait(cursor, seconds=_WAIT)
            except (redis.ConnectionError, redis.TimeoutError, LedgerUnavailable) as error:
                err.print(f"[yellow]{escape(str(error).rstrip('.'))}. Trying again in {pause:.0f} s.[/]")
                stop.wait(pause)
                pause = min(pause * 2, _LAST_RETRY)


def say_gap(gap: Gap | None) -> None:
    """Say loudly that records are missing."""
    if gap is not None:
        err.print(f"[bold red]Gap:[/] {escape(gap.message)}")


def say_before_first(count: int) -> None:
    """Say that the stream begins later than the ledger."""
    if count:
        err.print(
            f"[yellow]{count:,} older usage records were dropped from the stream before this first read; "
            "the hourly sums have them.[/]"
        )
