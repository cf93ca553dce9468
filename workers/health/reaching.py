"""The event loop's side: it says that it turns, and looks whether broker and store can be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.errors import StoreError
from config.settings import Settings
from config.store import ParameterStore
from workers.health.pulse import Heart, Part, Reach
from workers.redis.pool_clock import PoolClock

#: Nothing is kept there; a store that says so was reached.
_NOWHERE: Final = "/byom/health"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two signs of life, and between two looks."""

    beat: float = 1.0
    broker: float = 5.0
    #: A store may count its calls.
    store: float = 20.0
    #: After a look that failed.
    again: float = 2.0
    #: For an answer.
    patience: float = 3.0


class Signs:
    """What the event loop of a worker does to be known to be well."""

    def __init__(
        self,
        heart: Heart,
        *,
        ask: Callable[[], Awaitable[Any]],
        store: ParameterStore,
        pace: Pace | None = None,
    ) -> None:
        """Take what to tell, and what to look at.

        Args:
            heart: told of it.
            ask: asks the broker for an answer; raises what Redis clients do.
            store: of connections and credentials.
            pace: how often.
        """
        self._heart, self._ask, self._store, self._pace = heart, ask, store, pace or Pace()

    async def give_forever(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._beat(), self._look_at_broker(), self._look_at_store())

    async def _beat(self) -> None:
        while True:
            self._heart.beat(Part.LOOP)
            await asyncio.sleep(self._pace.beat)

    async def _look_at_broker(self) -> None:
        while True:
            await self._look(Reach.BROKER, asyncio.ensure_future(self._ask()), every=self._pace.broker)

    async def _look_at_store(self) -> None:
        while True:
            get = asyncio.to_thread(self._store.get, _NOWHERE)
            await self._look(Reach.STORE, asyncio.ensure_future(get), every=self._pace.store)

    async def _look(self, reach: Reach, answer: "asyncio.Future[Any]", *, every: float) -> None:
        """Wait for an answer, however long it takes: there is never a second question beside the first."""
        await asyncio.wait({answer}, timeout=self._pace.patience)
        if not answer.done():
            self._heart.note(reach, f"no answer in {self._pace.patience:.0f} s")
        trouble = None
        try:
            await answer
        except (redis.RedisError, OSError, StoreError) as error:
            # The message may quote a URL or a path.
            trouble = type(error).__name__
        self._heart.note(reach, trouble)
        await asyncio.sleep(every if trouble is None else self._pace.again)


async def give_signs(heart: Heart, settings: Settings, store: ParameterStore, clock: PoolClock) -> None:
    """Let the running loop give signs of life until this is cancelled; on a connection of its own.

    What it asks the broker for is the time, so that `clock` stays right.
    """
    pace = Pace()
    async with redis.asyncio.Redis.from_url(
        settings.redis_url,
        socket_timeout=pace.patience,
        socket_connect_timeout=pace.patience,
        # Whoever asks wants to know how it is now.
        retry=Retry(NoBackoff(), 0),
    ) as client:

        async def ask() -> None:
            asked = clock.monotonic()
            clock.heard(await client.time(), asked=asked)

        await Signs(heart, ask=ask, store=store, pace=pace).give_forever()
