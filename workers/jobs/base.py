"""The interface of the job store.

A message may be delivered more than once: a worker dies, a broker restarts, a producer repeats itself. The store makes
that harmless. One delivery at a time holds the job's lease; finished parts are kept, so that the next holder does
not call for them again; an attempt's usage is counted once; the first ending stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict

from tasks.contract import AttemptRecord, ExtractionResult, Failure, JobStatus
from workers.engine.routing import Route


class Ending(BaseModel):
    """How a job ended: exactly one of the two is set."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    result: ExtractionResult | None = None
    failure: Failure | None = None
    #: How often the job had been replayed when it ended.
    replays: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing of the job is left to be done."""
        return self.result is not None and self.result.status is not JobStatus.PARTIAL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `model_dump_json` wrote."""
        return cls.model_validate_json(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Another delivery has the job in hand."""

    #: Seconds until its lease runs out unless it is renewed.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """This hop is over and the job was on its way to the next connection."""

    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A delivery that had the job in hand and never laid it down: its worker died, or gave up in the middle."""

    owner: str
    #: When it took the job in hand, by the pool's clock.
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The job is over; nothing is left to do but to return its ending."""

    ending: Ending
    #: Told to the delivery that ends it: others that have the job in hand all the same, having taken this one for
    #: lost. Once it is over nobody asks what became of their calls.
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a job."""

    #: Unit index → what an earlier delivery or hop stored for it.
    units: dict[int, str] = field(default_factory=dict)
    #: Attempts made so far, in the order in which they began.
    attempts: tuple[AttemptRecord, ...] = ()
    #: How often the job was replayed.
    replays: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Kept):
    """The caller has the job in hand."""

    #: Whether the job has been through a batch, or was found not to fit one.
    batched: bool = False
    #: Deliveries whose last calls nobody has accounted for, in the order in which they began.
    dropped: tuple[Dropped, ...] = ()


class Reopening(StrEnum):
    """What came of the wish to replay a job."""

    #: It is open: whoever delivers it runs it.
    OPENED = "opened"
    #: It was open already for this replay; another message of it may be under way, which is harmless.
    OPEN = "open"
    #: This replay has been and has ended without success.
    ENDED = "ended"
    #: Nothing of it is left to be done.
    SUCCEEDED = "succeeded"


Claim = Claimed | Busy | HandedOver | Ended


def dropped_of(hands: Mapping[str, datetime], owner: str) -> tuple[Dropped, ...]:
    """Of the deliveries that took a job in hand, and since when, those that are not the one which has it now."""
    others = (Dropped(owner=other, since=since) for other, since in hands.items() if other != owner)
    return tuple(sorted(others, key=lambda one: (one.since, one.owner)))


class JobStore(Protocol):
    """Where the working state lives."""

    async def claim(self, job_id: str, *, hop: int, owner: str, lease: float) -> Claim:
        """Take the job in hand for `lease` seconds.

        Args:
            job_id: the job.
            hop: place in the chain of connections that the delivery speaks of, from 1.
            owner: names this delivery.
            lease: seconds; renewed with `renew` while work goes on.
        """

    async def renew(self, job_ids_and_owners: list[tuple[str, str]], *, lease: float) -> list[tuple[str, str]]:
        """Prolong leases that are still held by their owners, and say which are."""

    async def settle(self, record: AttemptRecord) -> bool:
        """Write the usage record of an attempt and add it to the sums, unless there is one of that call already.

        Returns whether this very record stands. So it does when it is written again: nobody need know whether the
        answer to the first time was lost on its way.
        """

    async def keep(self, job_id: str, *, unit: int, outcome: str) -> None:
        """Store what came of one unit, unless the job has ended; the first outcome stands."""

    async def mark_batched(self, job_id: str, *, kept: int) -> None:
        """Note that the job is to wait for no batch any more, and keep its working state for so many seconds."""

    async def outlast(self, job_id: str, *, wait: float) -> None:
        """Keep the working state until the job has waited so many seconds, and as long as ever from then on.

        What it has finished and paid for is not to be forgotten while it waits for a spend cap, or for its turn.
        """

    async def hand_over(self, job_id: str, *, owner: str, route: Route) -> tuple[Dropped, ...]:
        """Note that the job goes on to `route`, and give the lease back; returns as `Ended.dropped`."""

    async def end(self, job_id: str, *, owner: str, ending: Ending) -> Ended:
        """Note how the job ended and give the lease back; returns the ending that stands: `ending` itself, or another.

        The same again is answered as the first time. Of a job of which nothing is left to be done the parts are
        dropped; and the attempts but for that they were counted, unless another delivery has it in hand.
        """

    async def release(self, job_id: str, *, owner: str, dropped: bool = False) -> None:
        """Give the lease back without an ending.

        Args:
            job_id: the job.
            owner: whose lease it is; that of a dropped delivery, once its calls are accounted for.
            dropped: whether a call may be under way that will not be settled any more.
        """

    async def kept(self, job_id: str) -> Kept:
        """What is kept of a job, whoever has it in hand."""

    async def reopen(self, job_id: str, kept: Kept, *, ttl: int) -> Reopening:
        """Open a job that ended without success, for its next replay.

        Its ending is dropped, and it begins with its first connection again. What it has paid for stays, so that
        nothing is paid for twice and attempts go on counting.

        Args:
            job_id: the job.
            kept: what was kept of it at its end, which may be forgotten here; `replays` is how often it had been
                replayed by then. The same again changes nothing.
            ttl: seconds that it is kept until its next attempt.
        """
