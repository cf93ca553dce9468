"""The Flower process: options, login, sources, and a good end."""

import atexit
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import redis
import structlog
from flower.command import apply_env_options, extract_settings  # type: ignore[import-untyped]  # has no types
from tornado.options import options

from config.settings import Settings
from workers.app import create_app
from workers.log import configure_logging
from workers.monitoring.access import Access
from workers.monitoring.boards import Boards
from workers.monitoring.metrics.pool import PoolCollector
from workers.monitoring.server import build_flower
from workers.monitoring.usage.book import UsageBook

#: Tasks that Flower remembers unless it is told otherwise; docs/monitoring.md has what they cost.
MAX_TASKS = 20_000
#: Workers that nobody heard of for so many seconds are dropped from metrics and from the list.
_PURGE_AFTER = 86_400
#: Seconds that a page waits for the broker.
_PATIENCE = 5.0
#: How far back usage is read in advance, how long that takes in one go, and the rest between, in seconds.
_AHEAD = timedelta(days=30)
_STEP, _REST = 0.25, 0.25

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where Flower is, and how much it remembers."""

    address: str
    port: int
    max_tasks: int

    @classmethod
    def of(cls, environ: Mapping[str, str], *, port: int | None, address: str | None, max_tasks: int | None) -> Self:
        """Flags beat Flower's own variables, which beat defaults: this machine alone, and bounded memory.

        Raises:
            ValueError: a variable is not a number.
        """
        return cls(
            address=address if address is not None else environ.get("FLOWER_ADDRESS", "127.0.0.1"),
            port=port or _number(environ, "FLOWER_PORT", 5555),
            max_tasks=max_tasks or _number(environ, "FLOWER_MAX_TASKS", MAX_TASKS),
        )


def run_flower(settings: Settings, listening: Listening, access: Access, *, open_metrics: bool) -> None:
    """Run Flower until SIGTERM or Ctrl-C.

    Args:
        settings: broker and logging.
        listening: where.
        access: who may see it.
        open_metrics: whether `/metrics` asks for no login.

    Raises:
        OSError: it cannot listen there.
    """
    _set_options(listening, access)
    _set_up_logging(settings)
    extract_settings()
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE)
    with create_app(settings) as app:
        app.set_default()
        boards = Boards.of(client)
        collector = PoolCollector(boards)
        flower = build_flower(app, boards, options, collector=collector, open_metrics=open_metrics)
        flower.start_http_server()
        # Flower saves what it remembers when it is stopped.
        atexit.register(flower.stop)
        signal.signal(signal.SIGTERM, _end)
        ended = threading.Event()
        reader = threading.Thread(
            target=read_ahead,
            args=((boards.book, boards.failures), collector, ended.wait),
            name="read-ahead",
            daemon=True,
        )
        reader.start()
        try:
            flower.start()
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            ended.set()


def read_ahead(books: Sequence[UsageBook[Any]], collector: PoolCollector, wait: Callable[[float], bool]) -> None:
    """Begin to count, and read the usage of past days, a little at a time, so that pages find it at hand.

    Args:
        books: keep past days.
        collector: counts from now on.
        wait: waits so many seconds; True when there is no time left.
    """
    counting = False
    while not wait(_REST):
        try:
            if not counting:
                collector.begin()
                counting = True
            if not sum(book.read_ahead(_AHEAD, patience=_STEP) for book in books):
                return
        except redis.RedisError as error:
            # Pages say so themselves; here it is tried again.
            _log.debug("usage_not_read_ahead", error=type(error).__name__)


def _set_options(listening: Listening, access: Access) -> None:
    """Flower reads its options from a table of the process; its own variables first."""
    options.max_tasks = listening.max_tasks
    options.purge_offline_workers = _PURGE_AFTER
    apply_env_options()
    options.address = listening.address
    options.port = listening.port
    options.max_tasks = listening.max_tasks
    options.basic_auth = list(access.logins)


def _set_up_logging(settings: Settings) -> None:
    configure_logging(settings.log_format, settings.log_level)
    # At their usual levels they name every worker that is slow to answer, and every request.
    for name in ("flower", "kombu.mixins", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} is not a number") from None


def _end(_number: int, _frame: object) -> None:
    sys.exit(0)
