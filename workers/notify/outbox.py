"""The outbox: what is to be posted, kept in Redis until it is delivered or given up.

A delivery is due at a time. Any worker takes it with a lease; a worker that dies leaves it to the next when the lease
lapses, so each is sent at least once, always under the same id. Deliveries wait by receiver: one that is slow or down
keeps nobody else waiting.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, cast

import redis
from redis.asyncio import Redis

from config.connections import project_path
from workers.redis.lua import lua
from workers.redis.pipelining import Pipelining, Script

PREFIX: Final = "byom:outbox:"

#: Where events wait for being handed on to those who subscribe; the name of no receiver.
EVENTS_TARGET: Final = "events"

#: Milliseconds now; scripts ask the server where there is none.
Time = Callable[[], int]

_SHARED: Final = (("workers.notify", "time"), ("workers.notify", "outbox"))


class Limits(NamedTuple):
    """How much the outbox keeps."""

    #: Deliveries that may wait for one receiver.
    waiting: int = 100_000
    #: Deliveries that were given up, and seconds that they are kept.
    failed: int = 10_000
    failed_ttl: int = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message for one receiver, in the hands of a worker."""

    id: str
    #: Path of the webhook, or `callback <project> <origin>`, or `EVENTS_TARGET`.
    target: str
    #: Names the lease.
    owner: str
    #: The `webhook-id`: the event's id, or the job's.
    message: str
    project: str
    kind: str
    #: Tries, this one included.
    tries: int
    body: str
    #: Of a callback; a webhook's address is read when it is sent.
    url: str | None
    #: Why nothing is sent to this receiver any more.
    gone: str | None

    @classmethod
    def of(cls, reply: list[bytes], *, owner: str) -> Self:
        """One entry of the reply of `claim.lua`."""
        gone, *pairs = (part.decode() for part in reply)
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        return cls(
            id=fields["id"],
            target=fields["target"],
            owner=owner,
            message=fields["message"],
            project=fields["project"],
            kind=fields["kind"],
            tries=int(fields["tries"]),
            body=fields["body"],
            url=fields.get("url"),
            gone=gone or None,
        )


class Outbox:
    """Puts deliveries in and takes them out. For code on the event loop."""

    def __init__(
        self, client: Redis, *, limits: Limits | None = None, remembered: int = 86_400, now: Time | None = None
    ) -> None:
        """Prepare.

        Args:
            client: Redis.
            limits: how much is kept.
            remembered: seconds that a delivered one is remembered, so that putting it in again changes nothing.
            now: milliseconds; without it, by the server's clock.
        """
        self._limits = limits or Limits()
        self._remembered = remembered
        self._now = now
        pipelining = Pipelining.of(client)
        self._put = Script(pipelining, lua("workers.notify", "put", uses=_SHARED))
        self._claim = Script(pipelining, lua("workers.notify", "claim", uses=_SHARED))
        self._finish = Script(pipelining, lua("workers.notify", "finish", uses=_SHARED))

    async def put(self, delivery_id: str, *, target: str, fields: Mapping[str, str]) -> bool:
        """Put a delivery in; False when it is known already, or nothing is sent to its target any more.

        Args:
            delivery_id: the same id again changes nothing.
            target: who it is for.
            fields: `project`, `kind`, `message`, `body`, and for a callback `url`.

        Raises:
            redis.RedisError: it could not be kept.
        """
        pairs = [part for pair in fields.items() for part in pair]
        args: list[str | int] = [self._time(), delivery_id, target, *self._limits, *pairs]
        return bool(await self._put(keys=[], args=args))

    async def claim(self, *, owner: str, lease: float, limit: int, per_target: int) -> list[Delivery]:
        """Take up to `limit` deliveries that are due, with a lease of so many seconds.

        Args:
            owner: names the lease.
            lease: seconds; longer than a delivery can take.
            limit: how many.
            per_target: of one receiver at once, by all workers together.

        Raises:
            redis.RedisError: the outbox cannot be read.
        """
        args: list[str | int] = [self._time(), owner, round(lease * 1000), limit, per_target]
        found: list[list[bytes]] = await self._claim(keys=[], args=args)
        return [Delivery.of(reply, owner=owner) for reply in found]

    async def delivered(self, delivery: Delivery) -> bool:
        """Note that it was delivered; False when another worker has it by now."""
        return await self._done(delivery, "delivered")

    async def retry(self, delivery: Delivery, *, cause: str, seconds: float) -> bool:
        """Let it be tried again after so many seconds."""
        return await self._done(delivery, "retry", cause=cause, seconds=seconds)

    async def give_up(self, delivery: Delivery, *, cause: str) -> bool:
        """Let it be; it can be looked at and sent again by hand."""
        return await self._done(delivery, "failed", cause=cause)

    async def gone(self, delivery: Delivery, *, cause: str) -> bool:
        """Let it be, and all else for the same receiver until somebody says otherwise; False when that was known."""
        return await self._done(delivery, "gone", cause=cause)

    async def _done(self, delivery: Delivery, verdict: str, *, cause: str = "", seconds: float = 0) -> bool:
        args: list[str | int] = [self._time(), delivery.id, delivery.owner, verdict, cause, round(seconds * 1000)]
        return bool(await self._finish(keys=[], args=[*args, self._remembered, *self._limits]))

    def _time(self) -> str:
        return "" if self._now is None else str(self._now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A delivery that was given up."""

    id: str
    message: str
    target: str
    project: str
    kind: str
    tries: int
    cause: str
    #: Seconds since the epoch.
    ended: float


class OutboxReader:
    """Looks into the outbox, and puts back what was given up. Synchronous: commands use it."""

    def __init__(self, client: "redis.Redis", *, now: Time | None = None) -> None:
        self._client = client
        self._now = now
        self._redeliver = client.register_script(lua("workers.notify", "redeliver", uses=_SHARED))

    def failed(self, project: str | None = None) -> Iterator[Failed]:
        """Deliveries that were given up, the oldest first."""
        ids = cast("list[bytes]", self._client.zrange(f"{PREFIX}failed", 0, -1))
        wanted = ("message", "target", "project", "kind", "tries", "cause", "ended")
        for start in range(0, len(ids), 500):
            pipeline = self._client.pipeline(transaction=False)
            for one in ids[start : start + 500]:
                pipeline.hmget(f"{PREFIX}delivery:{one.decode()}", list(wanted))
            for one, values in zip(ids[start : start + 500], pipeline.execute(), strict=True):
                fields = dict(zip(wanted, values, strict=True))
                # One without a target has expired since.
                if fields["target"] is None or project not in {None, fields["project"].decode()}:
                    continue
                yield Failed(
                    id=one.decode(),
                    **{name: fields[name].decode() for name in ("message", "target", "project", "kind", "cause")},
                    tries=int(fields["tries"]),
                    ended=int(fields["ended"]) / 1000,
                )

    def redeliver(self, failed: Failed) -> bool:
        """Put one back, to be sent at once; False when it is not there any more."""
        now = "" if self._now is None else str(self._now())
        return bool(self._redeliver(args=[now, failed.id]))

    def reopen(self, target: str) -> bool:
        """Let deliveries go to a receiver again that had said that it is gone; False when it had not."""
        return bool(self._client.hdel(f"{PREFIX}gone", target))

    def forget(self, project: str) -> int:
        """Forget which receivers of a project had said that they are gone, since it is gone itself; how many."""
        gone = [target.decode() for target in cast("list[bytes]", self._client.hkeys(f"{PREFIX}gone"))]
        its = [target for target in gone if target.startswith((f"{project_path(project)}/", f"callback {project} "))]
        return int(self._client.hdel(f"{PREFIX}gone", *its)) if its else 0

    def gone(self, target: str) -> str | None:
        """Why nothing is sent to a receiver any more."""
        reason = cast("bytes | None", self._client.hget(f"{PREFIX}gone", target))
        return reason.decode() if reason else None

    def waiting(self, target: str) -> int:
        """Deliveries that wait for a receiver, those being sent included."""
        return self._client.zcard(f"{PREFIX}queue:{target}")

    def waiting_in_all(self) -> int:
        """Deliveries that wait for any receiver, those being sent included."""
        targets = cast("list[bytes]", self._client.zrange(f"{PREFIX}targets", 0, -1))
        with self._client.pipeline(transaction=False) as pipeline:
            for target in targets:
                pipeline.zcard(f"{PREFIX}queue:{target.decode()}")
            return sum(pipeline.execute())

    def failing(self) -> int:
        """Receivers that wait for something, and whose last delivery failed."""
        return self._client.hlen(f"{PREFIX}failing")

    def counts(self) -> dict[tuple[str, str], int]:
        """(Project, outcome) → how often ever; outcomes are `delivered`, `retried`, `failed` and `redelivered`."""
        stored = cast("dict[bytes, bytes]", self._client.hgetall(f"{PREFIX}counts"))
        return {(names[0], names[1]): int(stored[field]) for field in stored for names in [json.loads(field)]}
