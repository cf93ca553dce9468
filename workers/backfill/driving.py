"""The life of a driver: from its clients, through steps, to the end, or to a word to stop."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import redis
from celery import Celery

from config.errors import StoreError
from config.settings import Settings
from config.store import ParameterStore
from workers.backfill.driver import Driver, Step
from workers.backfill.errors import SinkError, SourceError
from workers.backfill.file import FileSource
from workers.backfill.publisher import LanePublisher
from workers.backfill.results import RedisResults
from workers.backfill.sinks import sink_for
from workers.backfill.state import BackfillState, Held, Lease, Phase, RedisBackfills, Rewound
from workers.backfill.telling import tell
from workers.clock import Clock

#: Seconds between steps that find nothing: the first, and the longest.
_SOON: Final = 0.05
_LATER: Final = 1.0

#: How many times as long a driver drives as it took to begin, at least.
_WORTH: Final = 5

#: The broker is away or full, or came back without its last second; or the store cannot be read.
_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, Rewound, StoreError)


class Stopped(StrEnum):
    """Why a driver stopped."""

    OVER = "over"
    PAUSED = "paused"
    #: It was told to; what is wanted of the backfill has not changed.
    ASKED = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """What a driver works with; its caller closes them."""

    settings: Settings
    app: Celery
    store: ParameterStore
    client: redis.Redis
    #: The time by which jobs are signed and events dated.
    clock: Clock


def drive(
    driver: Driver,
    *,
    wait: Callable[[float], bool],
    told: Callable[[Step], None] = lambda _: None,
    away: Callable[[Exception], None] = lambda _: None,
    monotonic: Callable[[], float] = time.monotonic,
    seconds: float | None = None,
) -> Stopped:
    """Step until all is done, or it is to stop.

    Args:
        driver: not recovered yet.
        wait: sleeps for so many seconds, or until it is to stop; whether it is.
        told: hears of each step.
        away: hears that the broker is away; it is tried again until it is back.
        monotonic: the clock.
        seconds: stop after so long, or a little later if beginning took long.

    Raises:
        BackfillError: the file, the sink or the lease do not allow it to go on.
    """
    deadline: float | None = None
    recovered, pause = False, _SOON
    while True:
        try:
            if not recovered:
                began = monotonic()
                driver.recover()
                recovered = True
                if seconds is not None and deadline is None:
                    # Finding the place in a large file takes its time, and is not to take most of it.
                    deadline = monotonic() + max(seconds, _WORTH * (monotonic() - began))
            step = driver.step()
        except _AWAY as error:
            recovered = False
            away(error)
            pause = _LATER
        else:
            told(step)
            if step.over:
                return Stopped.OVER
            if step.orders.phase is Phase.PAUSED:
                return Stopped.PAUSED
            pause = min(_LATER, pause * 2) if step.idle else _SOON
        if wait(pause) or (deadline is not None and monotonic() >= deadline):
            return Stopped.ASKED


@contextmanager
def opened(name: str, lease: Lease, clients: Clients) -> Iterator[Driver]:
    """A driver of a backfill on files and on Celery.

    Raises:
        SourceError: its file is not there, or not the same any more.
        SinkError: nothing can be written where results are to go.
    """
    settings = clients.settings
    state = RedisBackfills(clients.client).open(name)
    snapshot = state.load()
    definition = snapshot.definition
    if snapshot.orders.phase is not Phase.CANCELLED:
        definition.check_source()
    sink = sink_for(definition.out)
    with redis.Redis.from_url(settings.backend_url) as backend:
        try:
            yield Driver(
                state,
                lease,
                source=FileSource(definition, wanted=state.wanted()),
                publisher=LanePublisher.of(
                    settings, app=clients.app, store=clients.store, client=clients.client, clock=clients.clock
                ),
                results=RedisResults(backend, broker=clients.client),
                sink=sink,
                clock=clients.clock,
                completed=lambda done: asyncio.run(
                    tell(done, settings=settings, store=clients.store, clock=clients.clock)
                ),
                forgotten_after=settings.result_ttl + settings.backfill_max_wait,
            )
        finally:
            sink.close()


def leased(
    state: BackfillState,
    *,
    seconds: float,
    wait: Callable[[float], bool],
    waiting: Callable[[Held], None] = lambda _: None,
    me: str | None = None,
) -> Lease | None:
    """Leave to drive. One that was killed holds it for some seconds more, which are waited for.

    Args:
        state: of the backfill.
        seconds: that a driver may be silent before another may take over.
        wait: sleeps for so many seconds, or until it is to stop; whether it is.
        waiting: hears once that it waits for whom.
        me: the driver's name; without one, made of machine and process.

    Returns:
        None when it is to stop.

    Raises:
        Held: another drives, and goes on doing so.
        UnknownBackfill: there is none of this name.
    """
    me, held, least = me or driver_name(), False, 0.0
    while True:
        try:
            return state.acquire(me, seconds=seconds)
        except Held as error:
            # A living driver renews many times over; then more is left than before.
            if held and error.seconds >= least:
                raise
            if not held:
                waiting(error)
            held, least = True, error.seconds
            if wait(min(1.5, error.seconds + 0.01)):
                return None


def driver_name() -> str:
    """Names a driver to people, and apart from all others."""
    return f"{socket.gethostname()}, process {os.getpid()} ({uuid.uuid4().hex[:6]})"


def slice_of(name: str, clients: Clients, *, seconds: float, wait: Callable[[float], bool]) -> Stopped:
    """Drive for some seconds, for a worker that has other things to do as well; whether there is more to do.

    Raises:
        Held: another drives.
        BackfillError: it cannot go on; the backfill is paused, and says why.
    """
    state = RedisBackfills(clients.client).open(name)
    lease = state.acquire(driver_name(), seconds=clients.settings.backfill_lease)
    try:
        with opened(name, lease, clients) as driver:
            return drive(driver, wait=wait, seconds=seconds)
    except (SourceError, SinkError) as error:
        pause_for(state, error)
        raise
    finally:
        with suppress(redis.RedisError):
            state.release(lease)


def pause_for(state: BackfillState, error: Exception) -> None:
    """Pause a backfill that cannot go on by itself."""
    state.change(Phase.PAUSED, why=str(error), after=[Phase.RUNNING])
