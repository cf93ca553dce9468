"""The pool on Redis or Valkey, beside the lanes."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from workers.economy.base import Batch, Held, Item, Moved, State, Waiting
from workers.economy.keys import (
    CLOSED_KEPT,
    CLOSED_MOST,
    STATE_KEPT,
    Line,
    batch_key,
    items_key,
    job_key,
    lease_key,
    open_key,
    waiting_key,
)
from workers.lanes.keys import WAKE_KEY
from workers.lanes.scripts import LANES, POOL
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

#: Lines of an entry that stand before its message.
_BEFORE_MESSAGE = 4


class RedisPool:
    """Keeps jobs and batches; every step of theirs is one script."""

    def __init__(self, client: Redis, *, wake_key: str = WAKE_KEY, clock: Callable[[], str] = str) -> None:
        """Take the client.

        Args:
            client: of the broker.
            wake_key: the list that wakes a worker.
            clock: seconds as text, where a test sets the time.
        """
        self._wake_key = wake_key
        self._clock = clock
        pipelining = Pipelining.of(client)
        self._execute = pipelining.execute

        def script(name: str) -> Script:
            return Script(pipelining, lua("workers.economy", name, uses=(LANES, POOL)))

        self._lines = script("lines")
        self._begin = script("begin")
        self._update = script("update")
        self._give_back = script("give_back")
        self._lease = Script(pipelining, lua("workers.jobs", "lease"))

    async def now(self) -> float:
        """Seconds since 1970 by the pool's clock."""
        if given := self._clock():
            return float(given)
        seconds, micros = await self._execute("TIME")
        return int(seconds) + int(micros) / 1e6

    async def lines(self) -> list[Line]:
        """The lines in which jobs wait or batches are under way."""
        return sorted(Line.parse(name.decode()) for name in await self._lines(keys=[], args=[]))

    async def hold(self, line: Line, *, owner: str, seconds: float) -> bool:
        """Look after a line for so long, or longer; False if somebody else does."""
        milliseconds = max(1, round(seconds * 1000))
        if await self._execute("SET", lease_key(line), owner, "NX", "PX", milliseconds):
            return True
        return bool(await self._lease(keys=[lease_key(line)], args=[owner, milliseconds]))

    async def let_go(self, line: Line, *, owner: str) -> None:
        """Look after a line no more."""
        await self._lease(keys=[lease_key(line)], args=[owner, 0])

    async def waiting(self, line: Line, *, most: int) -> list[Waiting]:
        """Jobs that wait, the oldest first, at most so many."""
        ids = [name.decode() for name in await self._execute("ZRANGE", waiting_key(line), 0, most - 1)]
        found = await asyncio.gather(*(self._execute("HGETALL", job_key(job_id)) for job_id in ids))
        return [job for job_id, fields in zip(ids, found, strict=True) if (job := _waiting(job_id, fields))]

    async def count(self, line: Line) -> tuple[int, float | None]:
        """How many jobs wait, and since when the first does."""
        key = waiting_key(line)
        number, first = await asyncio.gather(self._execute("ZCARD", key), self._execute("ZRANGE", key, 0, 0))
        since = await self._execute("ZSCORE", key, first[0]) if first else None
        return int(number), None if since is None else float(since)

    async def job(self, job_id: str, *, batch_id: str) -> Waiting | None:
        """A job of a batch; None if it was given back."""
        fields: Mapping[bytes, bytes] = await self._execute("HGETALL", job_key(job_id))
        return _waiting(job_id, fields) if fields.get(b"batch", b"").decode() == batch_id else None

    async def begin(self, batch: Batch, items: Sequence[Item]) -> Held | None:
        """Make a batch of jobs that wait, all or none; None if one of them does not wait any more."""
        jobs = dict.fromkeys(item.job_id for item in items)
        begun = await self._begin(
            keys=[], args=[batch.id, str(batch.line), batch.model_dump_json(), _items_text(items), *jobs]
        )
        return Held(batch=batch, revision=1) if begun else None

    async def batches(self, line: Line) -> list[Held]:
        """The batches of a line that are not over, the oldest first."""
        ids = [name.decode() for name in await self._execute("SMEMBERS", open_key(line))]
        fields = await asyncio.gather(*(self._execute("HGETALL", batch_key(batch_id)) for batch_id in ids))
        found = [held for one in fields if (held := held_of(one))]
        return sorted(found, key=lambda held: (held.batch.created_at, held.batch.id))

    async def items(self, batch_id: str) -> list[Item]:
        """The items of a batch, in the order in which they are sent."""
        text = await self._execute("GET", items_key(batch_id))
        return [Item.model_validate(item) for item in json.loads(text or "[]")]

    async def update(self, held: Held, batch: Batch) -> Held:
        """Write down where a batch stands; one in state `CLOSED` is over."""
        over = str(batch.line) if batch.state is State.CLOSED else ""
        revision = await self._update(
            keys=[],
            args=[
                batch.id,
                held.revision,
                batch.model_dump_json(),
                over,
                CLOSED_KEPT,
                CLOSED_MOST,
                self._clock(),
            ],
        )
        if not revision:
            raise Moved(batch.id)
        return Held(batch=batch, revision=int(revision), cancel=held.cancel)

    async def give_back(self, job_id: str, *, batch_id: str | None, done: bool) -> bool:
        """Put a job back to the head of its lane; False if it was done already."""
        given = await self._give_back(
            keys=[self._wake_key], args=[job_id, batch_id or "", "1" if done else "", STATE_KEPT, self._clock()]
        )
        return bool(given)


def held_of(fields: Mapping[bytes, bytes]) -> Held | None:
    """A batch from the fields of its hash; None if it is gone."""
    if b"batch" not in fields:
        return None
    return Held(
        batch=Batch.model_validate_json(fields[b"batch"]),
        revision=int(fields[b"revision"]),
        cancel=b"cancel" in fields,
    )


def _waiting(job_id: str, fields: Mapping[bytes, bytes]) -> Waiting | None:
    entries = sorted(value for name, value in fields.items() if name.startswith(b"m:"))
    if not entries:
        return None
    message: dict[str, Any] = json.loads(entries[0].split(b"\n", _BEFORE_MESSAGE)[_BEFORE_MESSAGE])
    return Waiting(job_id=job_id, since=float(fields[b"since"]), message=message)


def _items_text(items: Iterable[Item]) -> str:
    return json.dumps([item.model_dump() for item in items], separators=(",", ":"))
