"""The pool in memory: for unit tests, and the plainest statement of what the Lua does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workers.clock import Clock
from workers.economy.base import Batch, Held, Item, Moved, State, Waiting
from workers.economy.keys import Line


@dataclass(slots=True)
class _Job:
    line: Line
    since: float
    messages: list[dict[str, Any]]
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """A message that went back to its lane."""

    job_id: str
    message: dict[str, Any]
    #: Whether its meter need not pay for it.
    done: bool


class MemoryPool:
    """Keeps jobs and batches in dicts; forgets nothing."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._batches: dict[str, Held] = {}
        self._items: dict[str, list[Item]] = {}
        self._leases: dict[Line, tuple[str, float]] = {}
        #: What went back to the lanes, in its order.
        self.given_back: list[GivenBack] = []

    def collect(self, line: Line, job_id: str, message: dict[str, Any]) -> None:
        """Take a job in, as the broker does."""
        job = self._jobs.setdefault(job_id, _Job(line, self._now(), []))
        job.messages.append(message)

    def cancel(self, batch_id: str) -> None:
        """Ask for the end of a batch, as an operator does."""
        self._batches[batch_id] = replace(self._batches[batch_id], cancel=True)

    @property
    def all_batches(self) -> list[Batch]:
        """Every batch that ever was, in its order."""
        return [held.batch for held in self._batches.values()]

    async def now(self) -> float:
        """Seconds since 1970 by the pool's clock."""
        return self._now()

    async def lines(self) -> list[Line]:
        """The lines in which jobs wait or batches are under way."""
        under_way = {held.batch.line for held in self._batches.values() if held.batch.state is not State.CLOSED}
        return sorted({job.line for job in self._jobs.values() if job.batch is None} | under_way)

    async def hold(self, line: Line, *, owner: str, seconds: float) -> bool:
        """Look after a line for so long, or longer; False if somebody else does."""
        holder, until = self._leases.get(line, (owner, 0.0))
        if holder != owner and until > self._now():
            return False
        self._leases[line] = (owner, self._now() + seconds)
        return True

    async def let_go(self, line: Line, *, owner: str) -> None:
        """Look after a line no more."""
        if self._leases.get(line, ("", 0.0))[0] == owner:
            del self._leases[line]

    async def waiting(self, line: Line, *, most: int) -> list[Waiting]:
        """Jobs that wait, the oldest first, at most so many."""
        found = [
            Waiting(job_id=job_id, since=job.since, message=job.messages[0])
            for job_id, job in self._jobs.items()
            if job.line == line and job.batch is None
        ]
        return sorted(found, key=lambda job: (job.since, job.job_id))[:most]

    async def count(self, line: Line) -> tuple[int, float | None]:
        """How many jobs wait, and since when the first does."""
        found = [job.since for job in self._jobs.values() if job.line == line and job.batch is None]
        return len(found), min(found, default=None)

    async def job(self, job_id: str, *, batch_id: str) -> Waiting | None:
        """A job of a batch; None if it was given back."""
        job = self._jobs.get(job_id)
        if job is None or job.batch != batch_id:
            return None
        return Waiting(job_id=job_id, since=job.since, message=job.messages[0])

    async def begin(self, batch: Batch, items: Sequence[Item]) -> Held | None:
        """Make a batch of jobs that wait, all or none; None if one of them does not wait any more."""
        jobs = [self._jobs.get(item.job_id) for item in items]
        if not all(job is not None and job.line == batch.line and job.batch is None for job in jobs):
            return None
        for item in items:
            self._jobs[item.job_id].batch = batch.id
        self._items[batch.id] = list(items)
        self._batches[batch.id] = Held(batch=batch, revision=1)
        return self._batches[batch.id]

    async def batches(self, line: Line) -> list[Held]:
        """The batches of a line that are not over, the oldest first."""
        found = [
            held for held in self._batches.values() if held.batch.line == line and held.batch.state is not State.CLOSED
        ]
        return sorted(found, key=lambda held: (held.batch.created_at, held.batch.id))

    async def items(self, batch_id: str) -> list[Item]:
        """The items of a batch, in the order in which they are sent."""
        return list(self._items.get(batch_id, ()))

    async def update(self, held: Held, batch: Batch) -> Held:
        """Write down where a batch stands; one in state `CLOSED` is over."""
        present = self._batches[batch.id]
        if present.revision != held.revision:
            raise Moved(batch.id)
        if batch.state is State.CLOSED:
            self._items.pop(batch.id, None)
        self._batches[batch.id] = Held(batch=batch, revision=present.revision + 1, cancel=present.cancel)
        return self._batches[batch.id]

    async def give_back(self, job_id: str, *, batch_id: str | None, done: bool) -> bool:
        """Put a job back to the head of its lane; False if it was done already."""
        job = self._jobs.get(job_id)
        if job is None or job.batch != batch_id:
            return False
        del self._jobs[job_id]
        self.given_back += [GivenBack(job_id=job_id, message=message, done=done) for message in job.messages]
        return True

    def _now(self) -> float:
        return self._clock.now().timestamp()
