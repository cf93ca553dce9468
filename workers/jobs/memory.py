"""The job store in memory: for unit tests, and the plainest statement of what the Lua does."""

from dataclasses import dataclass, field
from datetime import datetime

from tasks.contract import AttemptRecord
from workers.clock import Clock
from workers.engine.routing import Route

from .base import Busy, Claim, Claimed, Dropped, Ended, Ending, HandedOver, Kept, Reopening, dropped_of


@dataclass(slots=True)
class _Job:
    units: dict[int, str] = field(default_factory=dict)
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    #: Those of which no more is kept than that they were counted.
    counted: set[str] = field(default_factory=set)
    route: Route | None = None
    ending: Ending | None = None
    batched: bool = False
    owner: str | None = None
    lease_until: float = 0
    replays: int = 0
    #: Deliveries that have the job in hand, or dropped it → since when.
    hands: dict[str, datetime] = field(default_factory=dict)


class MemoryJobs:
    """Keeps jobs in a dict; forgets nothing."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, _Job] = {}

    @property
    def records(self) -> list[AttemptRecord]:
        """All usage records, in the order in which they were settled within each job."""
        return [record for job in self._jobs.values() for record in job.attempts.values()]

    async def claim(self, job_id: str, *, hop: int, owner: str, lease: float) -> Claim:
        """Take the job in hand for `lease` seconds."""
        job = self._job(job_id)
        now = self._clock.monotonic()
        if job.ending is not None:
            return Ended(ending=job.ending)
        if job.owner not in {None, owner} and job.lease_until > now:
            return Busy(seconds=job.lease_until - now)
        if job.route is not None and job.route.hop > hop:
            job.owner = None
            return HandedOver(route=job.route)
        job.owner, job.lease_until = owner, now + lease
        job.hands.setdefault(owner, self._clock.now())
        return Claimed(
            units=dict(job.units),
            attempts=_ordered(job),
            replays=job.replays,
            batched=job.batched,
            dropped=dropped_of(job.hands, owner),
        )

    async def renew(self, job_ids_and_owners: list[tuple[str, str]], *, lease: float) -> list[tuple[str, str]]:
        """Prolong leases that are still held by their owners, and say which are."""
        now, held = self._clock.monotonic(), []
        for job_id, owner in job_ids_and_owners:
            job = self._job(job_id)
            if job.owner == owner and job.lease_until > now:
                job.lease_until = now + lease
                held.append((job_id, owner))
        return held

    async def settle(self, record: AttemptRecord) -> bool:
        """Write the usage record of an attempt; returns whether this very record stands."""
        job = self._job(record.job_id)
        return job.attempts.setdefault(record.id, record) == record and record.id not in job.counted

    async def keep(self, job_id: str, *, unit: int, outcome: str) -> None:
        """Store what came of one unit; the first outcome stands."""
        job = self._job(job_id)
        if job.ending is None:
            job.units.setdefault(unit, outcome)

    async def mark_batched(self, job_id: str, *, kept: int) -> None:  # noqa: ARG002 - forgets nothing anyway
        """Note that the job is to wait for no batch any more."""
        self._job(job_id).batched = True

    async def outlast(self, job_id: str, *, wait: float) -> None:
        """Nothing is forgotten anyway."""

    async def hand_over(self, job_id: str, *, owner: str, route: Route) -> tuple[Dropped, ...]:
        """Note that the job goes on to `route`, and give the lease back."""
        job = self._job(job_id)
        self._lay_down(job, owner)
        if job.ending is not None:
            return ()
        if job.route is None or job.route.hop < route.hop:
            job.route = route
        return dropped_of(job.hands, owner)

    async def end(self, job_id: str, *, owner: str, ending: Ending) -> Ended:
        """Note how the job ended and give the lease back; returns the ending that stands."""
        job = self._job(job_id)
        self._lay_down(job, owner)
        if job.ending is not None and job.ending != ending:
            return Ended(ending=job.ending)
        job.ending = ending
        dropped = dropped_of(job.hands, owner)
        if ending.whole:
            job.units.clear()
            if not dropped:
                job.counted |= job.attempts.keys()
        return Ended(ending=ending, dropped=dropped)

    async def release(self, job_id: str, *, owner: str, dropped: bool = False) -> None:
        """Give the lease back without an ending."""
        job = self._job(job_id)
        if dropped:
            self._give_back(job, owner)
        else:
            self._lay_down(job, owner)

    async def kept(self, job_id: str) -> Kept:
        """What is kept of a job, whoever has it in hand."""
        job = self._job(job_id)
        return Kept(units=dict(job.units), attempts=_ordered(job), replays=job.replays)

    async def reopen(self, job_id: str, kept: Kept, *, ttl: int) -> Reopening:  # noqa: ARG002 - nothing is forgotten here
        """Open a job that ended without success, for its next replay."""
        job = self._job(job_id)
        if job.ending is not None and job.ending.whole:
            return Reopening.SUCCEEDED
        if job.replays > kept.replays:
            return Reopening.OPEN if job.ending is None else Reopening.ENDED
        job.ending = job.route = None
        job.replays = kept.replays + 1
        job.units = {**kept.units, **job.units}
        job.attempts = {**{record.id: record for record in kept.attempts}, **job.attempts}
        return Reopening.OPENED

    def _job(self, job_id: str) -> _Job:
        return self._jobs.setdefault(job_id, _Job())

    def _lay_down(self, job: _Job, owner: str) -> None:
        self._give_back(job, owner)
        job.hands.pop(owner, None)

    @staticmethod
    def _give_back(job: _Job, owner: str) -> None:
        if job.owner == owner:
            job.owner = None


def _ordered(job: _Job) -> tuple[AttemptRecord, ...]:
    kept = [record for name, record in job.attempts.items() if name not in job.counted]
    return tuple(sorted(kept, key=lambda record: record.started_at))
