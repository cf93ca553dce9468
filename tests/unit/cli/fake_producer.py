"""A producer that takes jobs and ends them as a test says, for commands that enqueue and wait."""

from collections.abc import Iterable, Iterator
from typing import Self

import redis

from tasks.contract import (
    Entity,
    EpisodeResult,
    ExtractionJob,
    ExtractionResult,
    Fact,
    FailureCode,
    JobRefused,
    JobStatus,
)
from workers.enqueue.backlog import Backlog
from workers.lanes.views import Pause

FACT = Fact(
    id="f1",
    subject="Ana",
    predicate="LIKES",
    object="tea",
    fact="Ana likes [tea].",
    evidence="likes tea",
    episode_id="e1",
)
ENTITY = Entity(id="n1", name="Ana", type="person", episode_ids=["e1"])
FAILURE = {"code": FailureCode.RATE_LIMITED, "message": "too fast", "project": "acme"}


def succeeded(job_id: str, status: JobStatus = JobStatus.SUCCEEDED) -> ExtractionResult:
    episodes = [EpisodeResult(episode_id="e1", facts=[FACT], entities=[ENTITY])]
    return ExtractionResult(job_id=job_id, project="acme", status=status, episodes=episodes)


class FakeHandle:
    def __init__(self, job_id: str, end: ExtractionResult | Exception | str, *, duplicate: bool) -> None:
        self.id = job_id
        self.duplicate = duplicate
        self._end = end

    def state(self) -> str:
        if isinstance(self._end, str):
            return self._end
        return self._end.status.value if isinstance(self._end, ExtractionResult) else "failed"

    def result(self, timeout: float | None = None) -> ExtractionResult:
        if isinstance(self._end, ExtractionResult):
            return self._end
        raise TimeoutError(f"not after {timeout}") if isinstance(self._end, str) else self._end


class FakeProducer:
    """Takes jobs and ends them as the test says."""

    def __init__(self) -> None:
        self.jobs: list[ExtractionJob] = []
        #: Episode id → how its job ends; a text is the state in which it stays.
        self.ends: dict[str, ExtractionResult | Exception | str] = {}
        self.breaks_after: int | None = None
        self.takes: int | None = None
        self.waits: float | None = 5
        self.pauses: tuple[Pause, ...] = ()
        self._keys: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def enqueue_many(self, jobs: Iterable[ExtractionJob]) -> Iterator[FakeHandle]:
        # Reads ahead, as the real one does for its batches.
        for job in list(jobs):
            if len(self.jobs) == self.breaks_after:
                raise redis.ConnectionError("gone")
            if len(self.jobs) == self.takes:
                raise JobRefused("too many jobs wait.", {"code": "backlog_full"})
            job_id = f"job-{job.episodes[0].id}"
            duplicate = job.idempotency_key in self._keys
            if job.idempotency_key:
                job_id = self._keys.setdefault(job.idempotency_key, job_id)
            if not duplicate:
                self.jobs.append(job)
            yield self.handle(job_id, duplicate=duplicate)

    def backlog(self, _project: str) -> Backlog:
        return Backlog(waiting=1_234, expected_wait=self.waits, pauses=self.pauses)

    def handle(self, job_id: str, *, duplicate: bool = False) -> FakeHandle:
        end = self.ends.get(job_id.removeprefix("job-"), succeeded(job_id))
        return FakeHandle(job_id, end, duplicate=duplicate)
