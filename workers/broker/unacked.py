"""The messages that were fetched and not acknowledged, as Redis holds them. Knows Redis, not kombu."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import redis

from workers.broker.parked import Collected, Parked
from workers.economy.keys import STATE_KEPT, Line
from workers.lanes.header import LaneHeader, is_of_session
from workers.lanes.keys import WAKE_KEY
from workers.lanes.scripts import BUCKET, HAND_OUT, LANES, POOL, SESSIONS
from workers.redis.lua import lua

#: Entries that one look at the expired messages brings back; each may hold a whole job.
_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the transport keeps what it must remember."""

    #: Hash of tag to entry: `[message, exchange, routing key]` as JSON, which is kombu's own format.
    unacked: str
    #: Sorted set of tag by the time, on the server's clock, at which it was last known to be in good hands.
    index: str
    #: List of the last messages that no worker could read.
    malformed: str


KEYS = Keys(
    # Not kombu's keys: other applications in the same database sweep those by a visibility timeout of their own, and
    # do not renew; neither is to touch what the other holds.
    unacked="byom.unacked",
    index="byom.unacked_index",
    malformed="byom.malformed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A message whose worker has stopped renewing it."""

    tag: str
    entry: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message belongs in the lanes of its queue."""

    queue: str
    header: LaneHeader
    #: Since when it waits, in seconds of the server's clock; None where that is not known, which means from now on.
    since: float | None = None

    @classmethod
    def of(cls, message: Any, *, queue: str, since: object = None) -> Self | None:
        """The place of a kombu message that goes to `queue`, by its header; None if it belongs in no lane."""
        header = LaneHeader.of(message, queue=queue)
        if header is None:
            return None
        return cls(queue=queue, header=header, since=since if isinstance(since, float) else None)

    def arguments(self, tag: str) -> tuple[str, str, str]:
        """Lane, label and connection, as the scripts take them."""
        return (str(self.header.lane(self.queue)), self.header.label(tag), self.header.connection)


class Unacked:
    """What may happen to a fetched message; each step is one script. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(
        self, client: redis.Redis, keys: Keys, *, wake_key: str = WAKE_KEY, bucket: tuple[str, str] = BUCKET
    ) -> None:
        """Take the client of the broker; `bucket` is the file with the meters."""
        self.keys = keys
        self.fetch_script = client.register_script(lua("workers.broker", "fetch", uses=(bucket, LANES, HAND_OUT)))
        self._settle = client.register_script(lua("workers.broker", "settle"))
        self._renew = client.register_script(lua("workers.broker", "renew"))
        self._expired = client.register_script(lua("workers.broker", "expired"))
        self._restore = client.register_script(lua("workers.broker", "restore", uses=(LANES,)))
        self._park = client.register_script(lua("workers.broker", "park", uses=(LANES, HAND_OUT)))
        self._collect = client.register_script(lua("workers.broker", "collect", uses=(LANES, HAND_OUT, POOL)))
        self._quarantine = client.register_script(lua("workers.broker", "quarantine"))
        self._leave = client.register_script(lua("workers.broker", "leave", uses=(LANES, SESSIONS, HAND_OUT)))
        self._leave_keys = [keys.unacked, keys.index, wake_key, keys.malformed]
        self._client = client

    def fetch_arguments(
        self,
        queue_keys: Iterable[str],
        queues: Iterable[tuple[str, bool]],
        *,
        backfill_floor: float,
        most: int = 1,
        now: str = "",
    ) -> tuple[Any, ...]:
        """What follows script or digest in a fetch: number of keys, keys, arguments.

        Args:
            queue_keys: all keys to look into, in order of preference; the queues in turn for each priority step.
            queues: name of each queue, and whether what comes from it will be acknowledged.
            backfill_floor: share of backfill while live jobs wait too.
            most: messages at most.
            now: seconds of the clock, for tests; empty for the server's.
        """
        keys = (self.keys.unacked, self.keys.index, self.keys.malformed, *queue_keys)
        arguments = (part for name, acked in queues for part in (name, "ack" if acked else "no_ack"))
        return (len(keys), *keys, backfill_floor, now, most, *arguments)

    def settle(self, tags: Sequence[str], *, now: str = "") -> None:
        """Forget messages that are done with; where a session has a next job, it goes to its lane in the same step.

        Args:
            tags: their delivery tags.
            now: seconds of the clock, for tests; empty for the server's.
        """
        if plain := [tag for tag in tags if not is_of_session(tag)]:
            self._settle(keys=[self.keys.unacked, self.keys.index], args=plain)
        if of_sessions := [tag for tag in tags if is_of_session(tag)]:
            self._leave(keys=self._leave_keys, args=[now, "", *of_sessions])

    def settle_command(self, tags: Sequence[str]) -> tuple[Any, ...]:
        """A command that does the same, to be sent along with others; for messages that are of no session."""
        return ("EVAL", self._settle.script, 2, self.keys.unacked, self.keys.index, *tags)

    def renew(self, tags: Sequence[str]) -> None:
        """Keep messages from expiring; those that were settled or put back meanwhile stay so."""
        self._renew(keys=[self.keys.index], args=tags)

    def entry(self, tag: str) -> bytes | None:
        """The entry of one message."""
        found = self._client.hget(self.keys.unacked, tag)
        return found if isinstance(found, bytes) else None

    def expired(self, seconds: float) -> Iterator[Expired]:
        """Some of the messages that were not renewed for so long; none when there are none left."""
        found: list[bytes] = self._expired(keys=[self.keys.unacked, self.keys.index], args=[seconds, _BATCH])
        for tag, entry in zip(found[::2], found[1::2], strict=True):
            yield Expired(tag=tag.decode(), entry=entry)

    def restore(
        self,
        tag: str,
        message: str,
        queue_keys: Sequence[str],
        *,
        end: Literal["head", "tail"],
        place: Place | None = None,
        unrenewed_for: float | None = None,
        now: str = "",
    ) -> bool:
        """Put a message back, unless it was settled meanwhile or, with `unrenewed_for`, renewed.

        Args:
            tag: its delivery tag.
            message: as JSON.
            queue_keys: the lists that it goes to if it has no place in the lanes.
            end: whether it is next, or last.
            place: its place in the lanes.
            unrenewed_for: seconds.
            now: seconds of the clock, for tests; empty for the server's.
        """
        unrenewed = "" if unrenewed_for is None else unrenewed_for
        lane, since = (place.arguments(tag), place.since or "") if place else (("", "", ""), "")
        return bool(
            self._restore(
                keys=[self.keys.unacked, self.keys.index, *queue_keys],
                args=[tag, message, end, unrenewed, *lane, since, now],
            )
        )

    def park(self, tag: str, place: Place, parked: Parked, *, now: str = "") -> bool:
        """Put a message back to the head of its lane, which then waits; False if it was settled or put back already."""
        arguments: tuple[str | float, ...] = (tag, *place.arguments(tag), parked.seconds, parked.reason, now)
        return bool(self._park(keys=[self.keys.unacked, self.keys.index], args=arguments))

    def collect(self, tag: str, collected: Collected, place: Place | None, *, queue: str, now: str = "") -> bool:
        """Move a message to the pool of those that wait for a batch; False if it was settled or put back already.

        Args:
            tag: its delivery tag.
            collected: whose job it is.
            place: its place in the lanes, to which it comes back.
            queue: where it was fetched from.
            now: seconds of the clock, for tests; empty for the server's.
        """
        line = Line(collected.project, collected.connection)
        lane = place.arguments(tag) if place else ("", "", "")
        arguments = (tag, queue, *lane, str(line), collected.job_id, collected.project, STATE_KEPT, now)
        return bool(self._collect(keys=[self.keys.unacked, self.keys.index], args=arguments))

    def quarantine(self, tag: str, message: bytes) -> None:
        """Set a message aside that no worker can read."""
        if is_of_session(tag):
            self._leave(keys=self._leave_keys, args=["", message, tag])
            return
        self._quarantine(keys=[self.keys.unacked, self.keys.index, self.keys.malformed], args=[tag, message])
