"""The job store on Redis or Valkey."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any

import redis
from redis.asyncio import Redis

from tasks.contract import AttemptRecord
from workers.clock import Clock, SystemClock
from workers.engine.routing import Route
from workers.ledger import RECORDS_KEY, SUMS_TTL
from workers.ledger.sums import Increment
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

from .base import Busy, Claim, Claimed, Dropped, Ended, Ending, HandedOver, Kept, Reopening, dropped_of


def job_key(job_id: str) -> str:
    """Key of a job's working state; the braces keep it and its lease in one cluster slot."""
    return f"byom:job:{{{job_id}}}"


def lease_key(job_id: str) -> str:
    """Key of a job's lease."""
    return f"{job_key(job_id)}:lease"


class RedisJobs:
    """Keeps each job in one hash with a lifetime, and its lease beside it."""

    def __init__(
        self,
        client: Redis,
        *,
        state_ttl: int,
        records_kept: int,
        sums_ttl: int = SUMS_TTL,
        clock: Clock | None = None,
    ) -> None:
        """Take a client and how long things are kept.

        Args:
            client: of the broker.
            state_ttl: seconds that the working state of a job is kept.
            records_kept: usage records kept, the newest ones.
            sums_ttl: seconds that hourly sums of usage are kept.
            clock: dates claims; the machine's own unless given.
        """
        self._state_ttl = state_ttl
        self._records_kept = records_kept
        self._sums_ttl = sums_ttl
        self._clock = clock or SystemClock()
        pipelining = Pipelining.of(client)
        self._claim = Script(pipelining, lua("workers.jobs", "claim"))
        self._settle = Script(pipelining, lua("workers.jobs", "settle"))
        self._keep = Script(pipelining, lua("workers.jobs", "keep"))
        self._end = Script(pipelining, lua("workers.jobs", "end"))
        self._mark = Script(pipelining, lua("workers.jobs", "mark_batched"))
        self._lease = Script(pipelining, lua("workers.jobs", "lease"))
        self._reopen = Script(pipelining, lua("workers.jobs", "reopen"))
        self._pipelining = pipelining
        self._release = Script(pipelining, lua("workers.jobs", "release"))

    async def claim(self, job_id: str, *, hop: int, owner: str, lease: float) -> Claim:
        """Take the job in hand for `lease` seconds."""
        word, *values = await self._claim(
            keys=[job_key(job_id), lease_key(job_id)],
            args=[hop, owner, _milliseconds(lease), self._clock.now().isoformat(), self._state_ttl],
        )
        match word:
            case b"ended":
                return Ended(ending=Ending.parse(values[0]))
            case b"busy":
                return Busy(seconds=max(values[0], 0) / 1000)
            case b"handed":
                return HandedOver(route=Route.model_validate_json(values[0]))
        fields = dict(zip(values[::2], values[1::2], strict=True))
        return Claimed(**_parts(fields), batched=b"batched" in fields, dropped=dropped_of(_hands(fields), owner))

    async def renew(self, job_ids_and_owners: list[tuple[str, str]], *, lease: float) -> list[tuple[str, str]]:
        """Prolong leases that are still held by their owners, and say which are."""
        milliseconds = _milliseconds(lease)
        held = await asyncio.gather(
            *(self._lease(keys=[lease_key(job_id)], args=[owner, milliseconds]) for job_id, owner in job_ids_and_owners)
        )
        return list(compress(job_ids_and_owners, held))

    async def settle(self, record: AttemptRecord) -> bool:
        """Write the usage record of an attempt and add it to the sums; returns whether this very record stands."""
        increment = Increment.of(record)
        written = await self._settle(
            keys=[job_key(record.job_id), RECORDS_KEY, *increment.keys],
            args=[
                record.id,
                record.model_dump_json(exclude_none=True),
                self._state_ttl,
                self._sums_ttl,
                self._records_kept,
                *increment.args,
            ],
        )
        return bool(written)

    async def keep(self, job_id: str, *, unit: int, outcome: str) -> None:
        """Store what came of one unit; the first outcome stands."""
        await self._keep(keys=[job_key(job_id)], args=[unit, outcome, self._state_ttl])

    async def mark_batched(self, job_id: str, *, kept: int) -> None:
        """Note that the job is to wait for no batch any more, and keep its working state for so many seconds."""
        await self._mark(keys=[job_key(job_id)], args=[kept])

    async def outlast(self, job_id: str, *, wait: float) -> None:
        """Keep the working state until the job has waited so many seconds, and as long as ever from then on."""
        # Most waits are short, and need no command.
        if wait > self._state_ttl / 2:
            await self._pipelining.execute("EXPIRE", job_key(job_id), math.ceil(wait) + self._state_ttl)

    async def hand_over(self, job_id: str, *, owner: str, route: Route) -> tuple[Dropped, ...]:
        """Note that the job goes on to `route`, and give the lease back."""
        _, *others = await self._end(
            keys=[job_key(job_id), lease_key(job_id)],
            args=[owner, self._state_ttl, "route", route.model_dump_json(), route.hop],
        )
        return _others(others)

    async def end(self, job_id: str, *, owner: str, ending: Ending) -> Ended:
        """Note how the job ended and give the lease back; returns the ending that stands."""
        earlier, *others = await self._end(
            keys=[job_key(job_id), lease_key(job_id)], args=_end_arguments(owner, self._state_ttl, ending)
        )
        return Ended(ending=Ending.parse(earlier) if earlier else ending, dropped=_others(others))

    async def release(self, job_id: str, *, owner: str, dropped: bool = False) -> None:
        """Give the lease back without an ending."""
        await self._release(keys=[job_key(job_id), lease_key(job_id)], args=[owner, "1" if dropped else ""])

    async def kept(self, job_id: str) -> Kept:
        """What is kept of a job, whoever has it in hand."""
        return Kept(**_parts(await self._pipelining.execute("HGETALL", job_key(job_id))))

    async def reopen(self, job_id: str, kept: Kept, *, ttl: int) -> Reopening:
        """Open a job that ended without success, for its next replay."""
        word = await self._reopen(keys=[job_key(job_id)], args=_reopen_arguments(kept, ttl))
        return Reopening(word.decode())


def end_now(client: redis.Redis, job_id: str, ending: Ending, *, state_ttl: int) -> Ending:
    """As `RedisJobs.end`, for commands, which hold no lease; returns the ending that stands.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    end = client.register_script(lua("workers.jobs", "end"))
    earlier, *_ = end(keys=[job_key(job_id), lease_key(job_id)], args=_end_arguments("", state_ttl, ending))
    return Ending.parse(earlier) if earlier else ending


def reopen_now(client: redis.Redis, job_id: str, kept: Kept, *, ttl: int) -> Reopening:
    """As `RedisJobs.reopen`, for commands.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    reopen = client.register_script(lua("workers.jobs", "reopen"))
    return Reopening(reopen(keys=[job_key(job_id)], args=_reopen_arguments(kept, ttl)).decode())


def slim(client: redis.Redis, endings: Mapping[str, Ending]) -> None:
    """Keep of jobs that went well only that they did: a later delivery still finds that, and makes no call.

    Args:
        client: of the broker.
        endings: job → its ending without memories.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    script = client.register_script(lua("workers.jobs", "slim"))
    texts = [ending.model_dump_json(exclude_none=True) for ending in endings.values()]
    script(keys=[job_key(job_id) for job_id in endings], args=texts)


def _end_arguments(owner: str, state_ttl: int, ending: Ending) -> list[str | int]:
    text = ending.model_dump_json(exclude_none=True)
    return [owner, state_ttl, "ending", text, 0, int(ending.whole)]


def _reopen_arguments(kept: Kept, ttl: int) -> list[str | int]:
    arguments: list[str | int] = [kept.replays, ttl]
    for index, unit in kept.units.items():
        arguments += [f"unit:{index}", unit]
    for record in kept.attempts:
        arguments += [f"attempt:{record.id}", record.model_dump_json(exclude_none=True)]
    return arguments


def _parts(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The fields of a job's hash as those of `Kept`."""
    units: dict[int, str] = {}
    attempts: list[AttemptRecord] = []
    replays = 0
    for field, value in fields.items():
        kind, _, name = field.decode().partition(":")
        match kind:
            case "unit":
                units[int(name)] = value.decode()
            # One that was let go of tells no more than that it was counted.
            case "attempt" if value:
                attempts.append(AttemptRecord.model_validate_json(value))
            case "replays":
                replays = int(value)
    attempts.sort(key=lambda record: record.started_at)
    return {"units": units, "attempts": tuple(attempts), "replays": replays}


def _hands(fields: Mapping[bytes, bytes]) -> dict[str, datetime]:
    """Owners of deliveries that have the job in hand, or dropped it → since when."""
    return {
        name: datetime.fromisoformat(value.decode())
        for field, value in fields.items()
        for kind, _, name in [field.decode().partition(":")]
        if kind == "hand"
    }


def _others(told: Sequence[bytes]) -> tuple[Dropped, ...]:
    """From owner and instant of each, as `end.lua` tells them."""
    hands = {b"hand:" + name: since for name, since in zip(told[::2], told[1::2], strict=True)}
    return dropped_of(_hands(hands), "")


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
