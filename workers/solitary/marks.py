"""Which trials began and were never heard of again, as Redis remembers it."""

from contextlib import suppress
from typing import Final

import redis

#: Seconds that such a trial is remembered.
_REMEMBERED: Final = 86_400


class Marks:
    """Set when the process of a trial gets its job, cleared by whoever outlives the trial: that process, or its worker.

    So what is left counts trials that nobody outlived, one after the other. Safe for threads, as its client is.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Take the client of the broker."""
        self._client = client

    def unheard_of(self, job_id: str) -> int:
        """Trials of a job that began since the last one that somebody outlived, and did not end.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        return int(self._client.get(_key(job_id)) or 0)

    def begins(self, job_id: str) -> None:
        """A trial begins.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        pipeline = self._client.pipeline()
        pipeline.incr(_key(job_id))
        pipeline.expire(_key(job_id), _REMEMBERED)
        pipeline.execute()

    def outlived(self, job_id: str) -> None:
        """Somebody outlived the trial. Where Redis is away it is not heard of, which the next trial makes good."""
        with suppress(redis.RedisError):
            self._client.delete(_key(job_id))


def _key(job_id: str) -> str:
    return f"byom:alone:{job_id}"
