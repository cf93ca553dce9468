"""The result backend, as far as a backfill asks it: how jobs ended whose ending never came to the inbox."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis

from tasks.contract import ExtractionResult, Failure, FailureCode, JobStatus
from workers.jobs import Ending, slim

#: Where Celery keeps the result of a task.
_KEY: Final = "celery-task-meta-"


class RedisResults:
    """Results as Celery stores them in Redis, read many at once."""

    def __init__(self, client: redis.Redis, *, broker: redis.Redis) -> None:
        """Take the clients of the result backend, and of the broker, where jobs keep their working state."""
        self._client = client
        self._broker = broker

    def forget(self, jobs: Mapping[str, str]) -> None:
        """Let go of the results of jobs that went well: they are in the sink.

        Otherwise the broker would keep each for a day, and its working state for an hour: a backfill of a million would
        need gigabytes.

        Args:
            jobs: job → project.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        if jobs:
            self._client.unlink(*(f"{_KEY}{job_id}" for job_id in jobs))
            slim(self._broker, {job_id: _stub(job_id, project) for job_id, project in jobs.items()})

    def look(self, job_ids: Sequence[str]) -> Mapping[str, str | None]:
        """Of the jobs of which anything is known: their ending as JSON, or None for those that have not ended.

        Raises:
            redis.RedisError: the backend cannot be asked.
        """
        if not job_ids:
            return {}
        stored = self._client.mget([f"{_KEY}{job_id}" for job_id in job_ids])
        return {
            job_id: _ending(job_id, json.loads(meta))
            for job_id, meta in zip(job_ids, stored, strict=True)
            if meta is not None
        }


def _stub(job_id: str, project: str) -> Ending:
    """What a later delivery of the job returns: nobody waits for it any more."""
    return Ending(result=ExtractionResult(job_id=job_id, project=project, status=JobStatus.SUCCEEDED))


def _ending(job_id: str, meta: Mapping[str, Any]) -> str | None:
    """The ending that a stored result tells of."""
    match meta["status"]:
        case "SUCCESS":
            ending = Ending(result=ExtractionResult.model_validate(meta["result"]))
        case "FAILURE" | "REVOKED":
            ending = Ending(failure=_failure(job_id, meta))
        case _:
            return None
    return ending.model_dump_json(exclude_none=True)


def _failure(job_id: str, meta: Mapping[str, Any]) -> Failure:
    told = meta["result"] if isinstance(meta["result"], dict) else {}
    message = told.get("exc_message")
    if isinstance(message, list) and len(message) == 2 and isinstance(message[1], dict):  # noqa: PLR2004 - (message, details)
        return Failure.model_validate({"code": FailureCode.INTERNAL, **message[1], "message": str(message[0])})
    kind = told.get("exc_type", "an error")
    if meta["status"] == "REVOKED" or kind == "TaskRevokedError":
        return Failure(code=FailureCode.CANCELLED, message=f"job {job_id} was revoked by an operator")
    return Failure(code=FailureCode.INTERNAL, message=f"job {job_id} ended with {kind}; the worker's log has more")
