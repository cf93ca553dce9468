"""What the commands about backfills share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import redis
import typer
from rich.markup import escape

from config.settings import load_settings
from workers.backfill.errors import BackfillError
from workers.backfill.report import Report
from workers.backfill.state import Fenced, Held, Snapshot
from workers.cli.console import out, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.options import identifier
from workers.clock import SystemClock
from workers.redis.impatient import connect

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The backfill.", callback=identifier)]


def report_on(snapshot: Snapshot) -> Report:
    """What there is to say of a backfill now."""
    return Report(snapshot=snapshot, now=SystemClock().now())


def say(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Say how a command went."""
    if as_json:
        print_json(document)
    else:
        out.print(escape(text))


@contextmanager
def connected() -> Iterator[redis.Redis]:
    """A client of the broker, which has answered."""
    with connect(load_settings().redis_url) as client:
        client.ping()
        yield client


@contextmanager
def clear_errors() -> Iterator[None]:
    """Errors of backfills as the command's."""
    try:
        yield
    except BackfillError as error:
        code = ExitCode.FAILED if isinstance(error, Held | Fenced) else ExitCode.USAGE
        raise CommandError(str(error), code=code) from error
