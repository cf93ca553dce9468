"""Putting jobs into their lanes: one as kombu publishes it, or many in one step. Knows kombu's messages, and Redis."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import redis
from kombu.utils.json import dumps

from workers.lanes.header import LaneHeader
from workers.lanes.keys import GIVEN
from workers.lanes.scripts import LANES, SESSIONS
from workers.redis.lua import lua

#: Seconds that the answer to a batch is kept for whoever sends it again; longer than anybody goes on trying.
_REMEMBERED = 120

_NOTHING_ENDED_IT = -1
_HELD_ELSEWHERE = -2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job that is to wait."""

    header: LaneHeader
    queue: str
    #: Delivery tag of the message.
    tag: str
    #: kombu's message as JSON.
    message: str
    job_id: str
    #: Redis key by which the job is known; it is put in only if nobody holds that. Empty: it is put in anyway.
    key: str = ""
    #: Jobs of its project that may wait; None for any number.
    most: int | None = None

    @classmethod
    def of(cls, message: dict[str, Any], *, queue: str) -> Self | None:
        """The entry of a kombu message that goes to `queue`, by its header; None if it belongs in no lane."""
        header = LaneHeader.of(message, queue=queue)
        if header is None:
            return None
        properties = message["properties"]
        properties["delivery_tag"] = tag = header.tag(properties["delivery_tag"])
        return cls(
            header=header, queue=queue, tag=tag, message=dumps(message), job_id=str(message["headers"].get("id"))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What became of a batch."""

    #: For each job up to the first that was refused: the id of the job that holds its key, or None if it was put in.
    known: Sequence[str | None]
    #: How many jobs of its project wait, where that left no room for the next job.
    waiting: int | None = None
    #: Whether the id of the next job is that of another project's job.
    held_elsewhere: bool = False

    @property
    def ended(self) -> bool:
        """Whether the next job was refused, and with it all after it."""
        return self.waiting is not None or self.held_elsewhere


class Entrance:
    """Puts jobs into lanes. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked, `redis.OutOfMemoryError` when it is full.
    """

    def __init__(self, client: redis.Redis, *, wake_key: str, clock: Callable[[], str]) -> None:
        """Take the client.

        Args:
            client: of the broker.
            wake_key: the list that wakes a worker.
            clock: seconds as text; empty for the server's.
        """
        self._clock = clock
        self._wake_key = wake_key
        self._script = client.register_script(lua("workers.lanes", "enqueue", uses=(LANES, SESSIONS)))

    def put(self, entry: Entry, *, batch: Any | None = None) -> None:
        """Put one job into its lane, however many wait.

        Args:
            entry: the job.
            batch: kombu's batch of publications, which sends it with others.
        """
        keys = [self._wake_key]
        arguments = [self._clock(), "", "", *_arguments([entry])]
        if batch is None:
            self._script(keys=keys, args=arguments)
        elif batch._buffered:  # noqa: SLF001 - kombu has no other word for whether a batch has just begun
            batch.add("evalsha", self._script.sha, len(keys), *keys, *arguments)
        else:
            # The first of those that are sent together brings the script along.
            batch.add("eval", self._script.script, len(keys), *keys, *arguments)

    def put_all(self, entries: Sequence[Entry], *, key_ttl: int) -> Put:
        """Put jobs into their lanes in one step, up to the first that is refused.

        What the client sends once more, because it got no answer, is not put in twice.

        Args:
            entries: the jobs.
            key_ttl: seconds that their keys are remembered.
        """
        arguments = [self._clock(), _REMEMBERED, key_ttl, *_arguments(entries)]
        ended_by, *known = self._script(keys=[self._wake_key, f"byom:batch:{uuid.uuid4()}"], args=arguments)
        return Put(
            known=[holder.decode() or None for holder in known],
            waiting=ended_by if ended_by > _NOTHING_ENDED_IT else None,
            held_elsewhere=ended_by == _HELD_ELSEWHERE,
        )


def given_key(job_id: str) -> str:
    """The key by which a job is known whose id was given by whoever enqueued it."""
    return f"{GIVEN}{job_id}"


def _arguments(entries: Sequence[Entry]) -> Iterator[str | bytes | int | float]:
    """Lanes and jobs, as the script takes them; each lane is told once."""
    places: dict[tuple[str, str, str | float, str | int], int] = {}
    jobs: list[str | int] = []
    messages: list[bytes] = []
    for entry in entries:
        header = entry.header
        lane = (
            str(header.lane(entry.queue)),
            header.connection,
            "" if header.weight is None else header.weight,
            "" if entry.most is None else entry.most,
        )
        place = places.setdefault(lane, len(places) + 1)
        message = entry.message.encode()
        jobs += (place, header.label(entry.tag), entry.job_id, entry.key, header.session_name, len(message))
        messages.append(message)
    yield len(places)
    for lane in places:
        yield from lane
    yield from jobs
    yield b"".join(messages)
