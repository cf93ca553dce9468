"""The messages that were fetched and not acknowledged, as Redis holds them. Knows Redis, not kombu."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis

from workers.lua import lua

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A message whose worker has stopped renewing it."""

    tag: str
    entry: bytes


class Unacked:
    """What may happen to a fetched message; each step is one script. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.keys = keys
        self.fetch_script = client.register_script(lua("workers.broker", "fetch"))
        self._settle = client.register_script(lua("workers.broker", "settle"))
        self._renew = client.register_script(lua("workers.broker", "renew"))
        self._expired = client.register_script(lua("workers.broker", "expired"))
        self._restore = client.register_script(lua("workers.broker", "restore"))
        self._quarantine = client.register_script(lua("workers.broker", "quarantine"))
        self._client = client

    def fetch_arguments(self, queue_keys: Iterable[str], queues: Iterable[tuple[str, bool]]) -> tuple[Any, ...]:
        """What follows script or digest in a fetch: number of keys, keys, arguments.

        Args:
            queue_keys: all keys to look into, in order of preference; the queues in turn for each priority step.
            queues: name of each queue, and whether what comes from it will be acknowledged.
        """
        keys = (self.keys.unacked, self.keys.index, self.keys.malformed, *queue_keys)
        arguments = (part for name, acked in queues for part in (name, "ack" if acked else "no_ack"))
        return (len(keys), *keys, *arguments)

    def settle(self, tags: Sequence[str]) -> None:
        """Forget messages that are done with."""
        self._settle(keys=[self.keys.unacked, self.keys.index], args=tags)

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
        unrenewed_for: float | None = None,
    ) -> bool:
        """Put a message back, unless it was settled meanwhile or, with `unrenewed_for`, renewed."""
        return bool(
            self._restore(
                keys=[self.keys.unacked, self.keys.index, *queue_keys],
                args=[tag, message, end, "" if unrenewed_for is None else unrenewed_for],
            )
        )

    def quarantine(self, tag: str, message: bytes) -> None:
        """Set a message aside that no worker can read."""
        self._quarantine(keys=[self.keys.unacked, self.keys.index, self.keys.malformed], args=[tag, message])
