"""What the result store says of jobs, asked for many of them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery, states

#: Results that one command asks for; each may hold the memories of a whole job.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of one job."""

    #: Celery's word, or one of `workers.task.extraction_body`.
    state: str
    #: What the job returned, or the exception that it ended with.
    value: Any

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state in states.READY_STATES


class Results:
    """Reads results. Safe for threads, as its client is."""

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        """Take the app whose results they are, for their format, and a client of the store."""
        self._backend: Any = app.backend
        self._client = client

    def read(self, job_ids: Sequence[str]) -> Iterator[tuple[str, Told]]:
        """What is known of these jobs; those of which nothing is, are left out.

        Raises:
            redis.RedisError: the store cannot be asked.
        """
        for start in range(0, len(job_ids), _AT_ONCE):
            some = job_ids[start : start + _AT_ONCE]
            found = self._client.mget([self._backend.get_key_for_task(job_id) for job_id in some])
            for job_id, stored in zip(some, found, strict=True):
                if stored is not None:
                    meta = self._backend.decode_result(stored)
                    yield job_id, Told(state=meta["status"], value=meta["result"])

    def of(self, job_id: str) -> Told | None:
        """What is known of one job.

        Raises:
            redis.RedisError: the store cannot be asked.
        """
        return next((told for _, told in self.read([job_id])), None)
