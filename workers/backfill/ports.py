"""What a driver needs of the world, and what it is answered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.contract import ExtractionJob, Failure
from workers.backfill.entries import BadLine, Entry


class Source(Protocol):
    """The lines of the file."""

    def read(self, *, after: int) -> Iterator[Entry | BadLine]:
        """Those behind line `after`, in order.

        Raises:
            SourceError: it cannot be read, or not to its end.
        """


@dataclass(frozen=True, slots=True)
class Published:
    """The job is with the broker."""


@dataclass(frozen=True, slots=True)
class Known:
    """The line's own idempotency key ran before, as another job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """This job cannot be accepted."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Too many jobs of the project wait; later there will be room."""


@dataclass(frozen=True, slots=True)
class ProjectRefused:
    """No job of the project can be accepted."""

    message: str


Answer = Published | Known | Refused | NoRoom | ProjectRefused


class Publisher(Protocol):
    """Puts jobs into their lanes."""

    def publish(self, jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        """Publish jobs under given ids; what became of each.

        Raises:
            redis.RedisError: the broker is away; some may be published.
        """

    def end(self, job_ids: Sequence[str], failure: Failure) -> Sequence[str]:
        """End jobs that have not ended; for each, as JSON, the ending that stands."""


class Results(Protocol):
    """The result backend."""

    def forget(self, jobs: Mapping[str, str]) -> None:
        """Let go of the results of jobs (job → project) that went well and are in the sink."""

    def look(self, job_ids: Sequence[str]) -> Mapping[str, str | None]:
        """Of the jobs of which anything is known: their ending as JSON, or None for those that have not ended."""
