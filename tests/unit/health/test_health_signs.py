"""What the event loop and Celery's consumer do to be known to be well."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from config.errors import StoreError
from config.store import MemoryStore, Parameter
from workers.health import Heart, Part, Reach, Stage, Terms
from workers.health.consuming import consuming
from workers.health.reaching import Pace, Signs

FAST = Pace(beat=0.005, broker=0.005, store=0.005, again=0.005, patience=0.05)


class ShakyStore(MemoryStore):
    """Can be away, and can hang."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def get(self, path: str) -> Parameter | None:
        assert self.goes_on.wait(30)
        if self.away:
            raise StoreError("cannot read /secret/place")
        return super().get(path)


class Broker:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.pings = 0

    async def ask(self) -> None:
        self.pings += 1
        if self.trouble:
            raise self.trouble


@pytest.fixture
def heart() -> Heart:
    return Heart(Terms(patience=30, drain=60))


@asynccontextmanager
async def giving(heart: Heart, broker: Broker, store: ShakyStore) -> AsyncIterator[None]:
    signs = asyncio.create_task(Signs(heart, ask=broker.ask, store=store, pace=FAST).give_forever())
    try:
        yield
    finally:
        store.goes_on.set()
        signs.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await signs


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - threads set it too
            await asyncio.sleep(0.002)


async def test_a_loop_that_turns_says_so_again_and_again(heart: Heart) -> None:
    async with giving(heart, Broker(), ShakyStore()):
        await until(lambda: Part.LOOP in heart.pulse().beats)
        first = heart.pulse().beats[Part.LOOP]
        await until(lambda: heart.pulse().beats[Part.LOOP] > first)


async def test_what_can_and_what_cannot_be_reached_is_noted_each_time(heart: Heart) -> None:
    broker, store = Broker(), ShakyStore()

    def reached() -> dict[Reach, str | None]:
        return dict(heart.pulse().reached)

    async with giving(heart, broker, store):
        await until(lambda: reached() == {Reach.BROKER: None, Reach.STORE: None})
        broker.trouble, store.away = redis.ConnectionError("to redis://user:password@host"), True
        # By the class alone: a message may quote a password or a path.
        await until(lambda: reached() == {Reach.BROKER: "ConnectionError", Reach.STORE: "StoreError"})
        broker.trouble, store.away = None, False
        await until(lambda: reached() == {Reach.BROKER: None, Reach.STORE: None})


async def test_a_store_that_does_not_answer_is_not_reached_and_is_not_asked_twice(heart: Heart) -> None:
    store = ShakyStore()
    store.goes_on.clear()

    async with giving(heart, Broker(), store):
        await until(lambda: (heart.pulse().reached.get(Reach.STORE) or "").startswith("no answer in"))
        beats = heart.pulse().beats[Part.LOOP]
        await until(lambda: heart.pulse().beats[Part.LOOP] > beats)
        store.goes_on.set()
        await until(lambda: heart.pulse().reached[Reach.STORE] is None)


class Connection:
    """A broker's connection, for which it takes some tries."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def ensure_connection(self, _errback: Any, _retries: Any, *, callback: Callable[[], object]) -> str:
        for _ in range(3):
            callback()
        return "connected"


class Consumer:
    """As much of Celery's as the step needs."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.waited = 0

    def ensure_connected(self, connection: Connection) -> str:
        def maybe_shutdown() -> None:
            self.waited += 1

        return connection.ensure_connection(None, None, callback=maybe_shutdown)


class Hub:
    """Repeats when told to."""

    turn: Callable[[], None]

    def call_repeatedly(self, _seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        self.turn = lambda: what(*arguments)


def test_a_consumer_says_that_it_turns_while_it_takes_jobs_and_while_it_tries_to_reach_the_broker() -> None:
    times = iter(range(1_000))
    heart = Heart(Terms(patience=30, drain=60), now=lambda: float(next(times)))
    consumer, hub, connection = Consumer(), Hub(), Connection()
    step: Any = consuming(heart)(consumer)

    def last() -> float:
        return heart.pulse().beats[Part.CONSUMER]

    born = last()
    assert consumer.ensure_connected(connection) == "connected"
    assert consumer.waited == 3
    # Before the first try, and at each moment in which Celery looks whether it is to end.
    connected = last()
    assert connected >= born + 4
    step.start(consumer)
    assert heart.pulse().stage is Stage.CONSUMING
    step.register_with_event_loop(consumer, hub)
    started = last()
    hub.turn()
    assert last() > started
    step.stop(consumer)
    assert heart.pulse().stage is Stage.RECONNECTING
    # Wrapped once per connection, not once more each time.
    assert consumer.ensure_connected(connection) == "connected"
    assert connection.ensure_connection.__func__ is Connection.ensure_connection  # type: ignore[attr-defined]  # a method has one
