"""Backfills for tests: definitions, entries, endings."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.contract import (
    AttemptRecord,
    Episode,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    Priority,
    ProviderKind,
    Role,
    TokenUsage,
)
from tests.support import START
from workers.backfill.definition import Definition, Fingerprint
from workers.backfill.entries import BadLine, Entry
from workers.backfill.ports import Answer, Published
from workers.backfill.state import Flight, LineRef
from workers.engine.endings import totals
from workers.jobs import Ending

#: What one job costs in these tests.
COST = "0.001"


def definition(name: str = "archive", **changes: Any) -> Definition:
    fields: dict[str, Any] = {
        "name": name,
        "project": "acme",
        "source": "/data/archive.jsonl",
        "fingerprint": Fingerprint(size=1, mtime_ns=2, sha256="3"),
        "lines": 3,
        "created_at": START,
    }
    return Definition.model_validate(fields | changes)


def entry(number: int, text: str | None = None) -> Entry:
    """A line with one episode; the same text is the same entry."""
    text = text or f"line {number}"
    job = ExtractionJob(project="acme", priority=Priority.BACKFILL, episodes=[Episode(id=f"e{number}", content=text)])
    return Entry(number=number, id=hashlib.sha256(text.encode()).hexdigest()[:32], job=job)


def flight(number: int, *, since: float = 0.0) -> Flight:
    line = entry(number)
    reference = LineRef(number=number, id=line.id, episode_ids=(f"e{number}",))
    return Flight(job_id=f"job-{number}", lines=(reference,), since=since)


def attempt(job_id: str, **changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "id": f"call-{job_id}",
        "attempt": "1.1.1",
        "job_id": job_id,
        "project": "acme",
        "provider": ProviderKind.OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "m",
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=100, cached_input=20, output=30),
        "cost_usd": COST,
        "latency_ms": 5,
        "started_at": START,
    }
    return AttemptRecord.model_validate(fields | changes)


def success(job_id: str, *attempts: AttemptRecord, status: JobStatus = JobStatus.SUCCEEDED) -> Ending:
    records = attempts or (attempt(job_id),)
    return Ending(
        result=ExtractionResult(
            job_id=job_id, project="acme", status=status, usage=totals(records), attempts=list(records)
        )
    )


def failure(job_id: str, code: FailureCode = FailureCode.CONTENT_REFUSED) -> Ending:
    return Ending(failure=Failure(code=code, message="refused", attempts=[attempt(job_id)]))


def text_of(ending: Ending) -> str:
    return ending.model_dump_json(exclude_none=True)


class ListSource:
    """Lines from memory."""

    def __init__(self, lines: Sequence[Entry | BadLine]) -> None:
        self.lines = lines

    def read(self, *, after: int) -> Iterator[Entry | BadLine]:
        return (line for line in self.lines if line.number > after)


class FakePublisher:
    """A broker that keeps what was published, in order; answers can be set by job."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.jobs: dict[str, ExtractionJob] = {}
        self.answers: dict[str, Answer] = {}
        self.ended: dict[str, Ending] = {}

    def publish(self, jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        answers = []
        for job_id, job in jobs:
            answer = self.answers.get(job_id, Published())
            answers.append(answer)
            if isinstance(answer, Published):
                self.sent.append(job_id)
                self.jobs[job_id] = job
        return answers

    def end(self, job_ids: Sequence[str], failure: Failure) -> Sequence[str]:
        return [text_of(self.ended.setdefault(job_id, Ending(failure=failure))) for job_id in job_ids]


class FakeResults:
    """A result backend."""

    def __init__(self) -> None:
        self.known: dict[str, str | None] = {}
        self.forgotten: list[str] = []

    def forget(self, jobs: Mapping[str, str]) -> None:
        self.forgotten += jobs

    def look(self, job_ids: Sequence[str]) -> Mapping[str, str | None]:
        return {job_id: self.known[job_id] for job_id in job_ids if job_id in self.known}


class ListSink:
    """A sink in memory; what is not durable is lost when another opens it."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self._unwritten: list[Mapping[str, Any]] = []
        self.finished = 0

    def open(self, position: str) -> None:
        del self.rows[int(position or 0) :]
        self._unwritten.clear()

    def append(self, rows: Any) -> None:
        self._unwritten.extend(rows)

    def sync(self) -> str:
        self.rows += self._unwritten
        self._unwritten.clear()
        return str(len(self.rows))

    def finish(self) -> str:
        self.finished += 1
        return str(len(self.rows))

    def close(self) -> None:
        """Nothing to close."""
