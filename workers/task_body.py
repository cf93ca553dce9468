"""What every extraction task does around its one step: read the payload, take the step, tell Celery what follows."""

import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import redis
import structlog
from celery import Task
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError

from config.errors import StoreError
from tasks.contract import (
    ContractError,
    ExtractionFailed,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    parse_job,
)
from workers.admission import Reason
from workers.broker.parked import Collected, Parked
from workers.conclusions import conclusion_of, ended_unexpectedly, put_back, refused
from workers.engine import Collect, HandOff, Outcome, Park
from workers.intake import Accepted, Duplicate
from workers.lanes.header import HEADER
from workers.messages import attempt_signature
from workers.receipt import Receipt
from workers.signing import signature_of
from workers.solitary.cells import NoChild
from workers.tracing import NO_TRACING, Conclusion, Delivered, TraceContext, Tracing

_log = structlog.get_logger(__name__)

#: States of a job that is in its lane, as `AsyncResult.state` shows them.
WAITING = "WAITING"
BUDGET_PAUSED = "BUDGET_PAUSED"

#: A server is away, the broker has no memory left, or this machine has no room for a process.
_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, OperationalError, StoreError, NoChild)

#: Takes a validated job and its id, and says what follows.
Step = Callable[[ExtractionJob, str], Outcome | Accepted | Duplicate]


def carry_out(
    task: "Task[Any, Any]",
    job: dict[str, Any],
    step: Step,
    *,
    pause: Callable[[], None],
    failed: Callable[[ExtractionJob, str, Failure], None],
    tracing: Tracing = NO_TRACING,
) -> Receipt:
    """Run one step of a job as a Celery task, in a trace, with its ids on all that is logged meanwhile.

    Args:
        task: the bound task.
        job: the payload, as it came.
        step: what to do with it.
        pause: waits a moment; called before a job goes back to its queue because Redis or the store is away.
        failed: told of a job that ends by an unforeseen error.
        tracing: traces it.

    Raises:
        celery.exceptions.Ignore: the job goes on under another task.
        celery.exceptions.Reject: the job is back on its queue.
        ContractError: the job was refused, or failed; typed.
    """
    job_id, carried = str(task.request.id), TraceContext.of(task.request)
    with tracing.delivery(job_id=job_id, task=task.name, carried=carried) as delivered:
        trace = {} if delivered.context is None else {"trace_id": delivered.context.trace_id}
        with structlog.contextvars.bound_contextvars(job_id=job_id, **trace):
            return _carry_out(task, job, step, job_id=job_id, pause=pause, failed=failed, delivered=delivered)


def _carry_out(
    task: "Task[Any, Any]",
    job: dict[str, Any],
    step: Step,
    *,
    job_id: str,
    pause: Callable[[], None],
    failed: Callable[[ExtractionJob, str, Failure], None],
    delivered: Delivered,
) -> Receipt:
    parsed: ExtractionJob | None = None
    conclusion: Conclusion | None = None
    try:
        parsed = parse_job(job)
        outcome = step(parsed, job_id)
        conclusion = conclusion_of(parsed, outcome)
        return _conclude(task, job, outcome, job_id=job_id, trace=delivered.context)
    except (Ignore, Reject):
        raise
    except ContractError as error:
        conclusion = conclusion or refused(parsed, error)
        raise
    except _AWAY as error:
        # Nothing is wrong with the job. It must not fail because a server is away or full for a while.
        conclusion = put_back(type(error).__name__, is_trouble=True)
        pause()
        raise Reject(type(error).__name__, requeue=True) from None
    except CancelledError:
        conclusion = put_back("the worker stops")
        raise Reject("the worker stops", requeue=True) from None
    except Exception as error:  # noqa: BLE001 - typed for the caller, whatever it was
        conclusion = ended_unexpectedly(parsed)
        # The message of an unforeseen error may quote the payload: the type and the lines of code must do.
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("job_failed_unexpectedly", error=type(error).__name__, traceback=where)
        message = (
            f"job {job_id} met an unforeseen {type(error).__name__}; the worker's log says where. "
            "Please report it; the job can be enqueued again."
        )
        _tell(failed, job, job_id, message)
        details = {"code": FailureCode.INTERNAL.value, "message": type(error).__name__}
        raise ExtractionFailed(message, details) from None
    finally:
        if conclusion is not None:
            delivered.concluded(conclusion)
            _log.log(conclusion.level, conclusion.event, task=task.name, **conclusion.facts)


def _tell(
    failed: Callable[[ExtractionJob, str, Failure], None], job: dict[str, Any], job_id: str, message: str
) -> None:
    """Tell of a job that failed by an unforeseen error, whatever else goes wrong."""
    try:
        failed(parse_job(job), job_id, Failure(code=FailureCode.INTERNAL, message=message))
    except Exception as error:  # noqa: BLE001 - the job fails with what came first
        _log.warning("failure_not_told", error=type(error).__name__)


def _conclude(
    task: "Task[Any, Any]",
    job: dict[str, Any],
    outcome: Outcome | Accepted | Duplicate,
    *,
    job_id: str,
    trace: TraceContext | None,
) -> Receipt:
    """End a task as its outcome says; messages that follow from it carry `trace`.

    A job that goes on is replaced: its id, callbacks and place in a chord go with it, and Celery sees one job.
    """
    match outcome:
        case Park(reason=reason, seconds=seconds):
            state = BUDGET_PAUSED if reason is Reason.BUDGET else WAITING
            task.update_state(state=state, meta={"reason": reason.value, "seconds": round(seconds, 3)})
            # Any value does as the reason; the stubs know of texts and errors only.
            raise Reject(Parked(seconds=seconds, reason=reason.value), requeue=True)  # type: ignore[arg-type]
        case Collect(connection=connection):
            task.update_state(state=WAITING, meta={"reason": "batch"})
            collected = Collected(job_id=job_id, project=str(job["project"]), connection=connection)
            raise Reject(collected, requeue=True)  # type: ignore[arg-type]  # as above
        case HandOff(route=route, address=address) | Accepted(route=route, address=address):
            crashes = (getattr(task.request, HEADER, None) or {}).get("crashes", 0)
            raise task.replace(
                attempt_signature(
                    task.app,
                    job,
                    route,
                    address,
                    job_id=job_id,
                    trace=trace,
                    crashes=crashes,
                    signed=signature_of(task.request),
                )
            )
        case Duplicate(job_id=first):
            return _duplicate(task, job, job_id=job_id, first=first)
    if outcome.result is not None:
        return Receipt(outcome.result)
    assert outcome.failure is not None  # noqa: S101 - the other half of Ending
    raise outcome.failure.as_error()


def _duplicate(task: "Task[Any, Any]", job: dict[str, Any], *, job_id: str, first: str) -> Receipt:
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
        ExtractionResult(job_id=job_id, project=str(job["project"]), status=JobStatus.DUPLICATE, duplicate_of=first)
    )
