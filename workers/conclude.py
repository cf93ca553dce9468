"""From an outcome to what Celery understands: a return value, an exception, or another message."""

from typing import Any

from celery import Task

from tasks.contract import ContractError, ExtractionResult, JobStatus
from workers.engine import HandOff, Outcome
from workers.intake import Accepted, Duplicate
from workers.messages import attempt_signature
from workers.receipt import Receipt


def conclude(task: "Task[Any, Any]", job: dict[str, Any], outcome: Outcome | Accepted | Duplicate) -> Receipt:
    """End a task as its outcome says.

    A job that goes on is replaced: its id, callbacks and place in a chord go with it, and Celery sees one job.

    Raises:
        celery.exceptions.Ignore: the job goes on under another task.
        ExtractionFailed: the job failed.
    """
    match outcome:
        case HandOff(route=route):
            return task.replace(attempt_signature(task.app, job, route, job_id=task.request.id))
        case Accepted(job_id=job_id, route=route) if job_id == task.request.id:
            return task.replace(attempt_signature(task.app, job, route, job_id=job_id))
        case Accepted(job_id=job_id, route=route):
            # The key's first producer died before it published. Its id is taken up again, never a second one.
            attempt_signature(task.app, job, route, job_id=job_id).apply_async(task_id=job_id)
            return _duplicate(task, job, first=job_id)
        case Duplicate(job_id=job_id):
            return _duplicate(task, job, first=job_id)
    if outcome.result is not None:
        return Receipt(outcome.result)
    assert outcome.failure is not None  # noqa: S101 - the other half of Ending
    raise outcome.failure.as_error()


def _duplicate(task: "Task[Any, Any]", job: dict[str, Any], *, first: str) -> Receipt:
    """The ending of the first job with the same idempotency key if it has one, else a pointer to it.

    Raises:
        ExtractionFailed: the first job failed.
    """
    earlier = task.app.AsyncResult(first)
    if earlier.state == "SUCCESS":
        return Receipt(ExtractionResult.model_validate(earlier.result))
    if earlier.state == "FAILURE" and isinstance(earlier.result, ContractError):
        raise earlier.result
    return Receipt(
        ExtractionResult(
            job_id=str(task.request.id), project=str(job["project"]), status=JobStatus.DUPLICATE, duplicate_of=first
        )
    )
