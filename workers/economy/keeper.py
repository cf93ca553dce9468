"""Looks after batches: one keeper in each worker process, and one of them at a time for each line."""

import asyncio
import traceback
import uuid

import structlog
from redis import RedisError

from config.errors import StoreError
from workers.economy.base import Held, Moved, Pool, State
from workers.economy.gathering import Gatherer
from workers.economy.keys import Line
from workers.economy.reading import Reader
from workers.economy.sending import Sender
from workers.economy.undoing import Undoer

_log = structlog.get_logger(__name__)

#: Seconds that a keeper has a line in hand without renewing. What it does longer than that is safe: nobody turns to a
#: batch that is being sent, and all else may be done twice.
_LEASE = 60.0
#: Seconds between two rounds that fail, at most.
_LONGEST_PAUSE = 30.0
#: Lines that are looked after at once.
_AT_ONCE = 8


class Keeper:
    """Gathers, sends, looks and reads. Everything it needs is given to it."""

    def __init__(
        self, *, pool: Pool, gatherer: Gatherer, sender: Sender, reader: Reader, undoer: Undoer, tick: float
    ) -> None:
        """`tick` is the time between two rounds, in seconds."""
        self._pool = pool
        self._gatherer = gatherer
        self._sender = sender
        self._reader = reader
        self._undoer = undoer
        self._tick = tick
        self._owner = uuid.uuid4().hex

    async def run_forever(self) -> None:
        """Look after all lines, round after round; run it beside the engine and cancel it at the end."""
        pause = self._tick
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                await self.round()
                pause = self._tick
            except (RedisError, StoreError) as error:
                _log.warning("batches_not_looked_after", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next round must still come
                # The message of an unforeseen error may quote a payload: the type and the lines of code must do.
                where = "".join(traceback.format_tb(error.__traceback__))
                _log.error("batches_not_looked_after", error=type(error).__name__, traceback=where)

    async def round(self) -> None:
        """Look after every line that nobody else has in hand.

        Raises:
            redis.RedisError: the pool cannot be reached.
        """
        places = asyncio.Semaphore(_AT_ONCE)

        async def tend(line: Line) -> None:
            async with places:
                await self._hold(line)

        for done in await asyncio.gather(*map(tend, await self._pool.lines()), return_exceptions=True):
            if isinstance(done, BaseException):
                raise done

    async def _hold(self, line: Line) -> None:
        if not await self._pool.hold(line, owner=self._owner, seconds=_LEASE):
            return
        try:
            await self._tend(line)
        finally:
            await self._pool.let_go(line, owner=self._owner)

    async def _tend(self, line: Line) -> None:
        for held in await self._pool.batches(line):
            try:
                await self._turn_to(held)
            except Moved:
                _log.info("batch_in_other_hands", batch=held.batch.id)
        await self._gatherer.gather(line)
        for held in await self._pool.batches(line):
            # At once, not a round later.
            if held.batch.state is State.READY and held.batch.looks == 0 and held.batch.trouble is None:
                await self._turn_to(held)

    async def _turn_to(self, held: Held) -> None:
        """Do what a batch is due for."""
        batch = held.batch
        hurry = held.cancel and not batch.cancelling
        if batch.next_at > await self._pool.now() and not hurry:
            return
        match batch.state:
            case State.READY if held.cancel:
                await self._undoer.undo(held, again=False, why="an operator cancelled it")
            case State.READY:
                await self._sender.send(held)
            case State.SENDING:
                await self._sender.find(held)
            case State.OPEN:
                await self._reader.look(held)
            case State.READ:
                await self._reader.close(held)
            case State.CLOSED:
                pass
