"""Publishing accepted jobs, many in one step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from tasks.contract import FailureCode, JobRefused, provider_queue
from workers.enqueue.backlog import no_room
from workers.enqueue.intake import Offer, job_key
from workers.lanes.control import Lanes
from workers.lanes.entering import Entry, Put, given_key
from workers.task.messages import AttemptMessages
from workers.tracing import NO_TRACING, Tracing

#: Jobs and characters of one batch: the broker does nothing else while it takes them in.
BATCH_JOBS = 200
_CHARACTERS = 4_000_000


class BrokerFull(redis.OutOfMemoryError):
    """The broker has no memory left for more messages."""


@dataclass(slots=True)
class Batch:
    """Jobs that go out together."""

    entries: list[Entry] = field(default_factory=list)
    characters: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is to be sent before another job is added."""
        return len(self.entries) >= BATCH_JOBS or self.characters >= _CHARACTERS

    def add(self, entry: Entry) -> None:
        """Add a job."""
        self.entries.append(entry)
        self.characters += len(entry.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of a batch."""

    #: For each job up to the first that was refused: the id of the first job like it, or None if it is new.
    known: Sequence[str | None]
    refused: JobRefused | None


class Publisher:
    """Puts accepted jobs into their lanes. Safe for threads, as its client is."""

    def __init__(
        self, client: redis.Redis, *, messages: AttemptMessages, key_ttl: int, tracing: Tracing = NO_TRACING
    ) -> None:
        """Take what it works with.

        Args:
            client: of the broker. It may send anything twice.
            messages: makes the messages.
            key_ttl: how long idempotency keys and given ids are remembered, in seconds.
            tracing: traces jobs from here on.
        """
        self._client = client
        self._messages = messages
        self._key_ttl = key_ttl
        self._tracing = tracing
        self._lanes = Lanes(client)

    def entry(self, offer: Offer, *, job_id: str, given: bool = False) -> Entry:
        """An accepted job as it goes to its lane.

        Args:
            offer: the job.
            job_id: its id.
            given: whether that was given by whoever enqueues it, who may do so again.
        """
        return self._messages.entry(
            offer.job,
            offer.route,
            offer.address,
            job_id=job_id,
            key=job_key(offer.job) or (given_key(job_id) if given else ""),
            most=offer.most,
            trace=self._tracing.created(
                job_id=job_id, project=offer.job.project, queue=provider_queue(offer.route.provider)
            ),
        )

    def publish(self, batch: Batch) -> Published:
        """Publish jobs in one step, up to the first for which there is no room.

        Raises:
            BrokerFull: nothing was published.
            redis.RedisError: the broker does not answer.
        """
        if not batch.entries:
            return Published(known=(), refused=None)
        try:
            put = self._lanes.put_all(batch.entries, key_ttl=self._key_ttl)
        except redis.OutOfMemoryError:
            raise BrokerFull(
                f"the broker's memory is full (maxmemory): {len(batch.entries):,} jobs were not enqueued, the first of "
                f"them for project '{batch.entries[0].header.project}'. Give it more memory, or wait until jobs went "
                "(byom lanes list), and send them again"
            ) from None
        refused = self._refusal(batch.entries[len(put.known)], put) if put.ended else None
        return Published(known=put.known, refused=refused)

    def _refusal(self, entry: Entry, put: Put) -> JobRefused:
        project = entry.header.project
        if put.waiting is not None and entry.most is not None:
            return no_room(self._client, project, waiting=put.waiting, most=entry.most)
        problem = f"job_id: '{entry.job_id}' is the id of another project's job"
        return JobRefused(
            f"The job was refused: {problem}. Give it an id of its own.",
            {"code": FailureCode.INVALID_JOB.value, "project": project, "problems": [problem]},
        )
