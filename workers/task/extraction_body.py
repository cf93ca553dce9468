"""What every extraction task does around its one step: read the payload, take the step, tell Celery what follows.

The first two may come before the last: `workers.task.ahead` takes steps on the event loop, without a thread for each.
"""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
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
from workers.engine.engine import Collect, HandOff, Outcome, Park
from workers.enqueue.intake import Accepted, Duplicate
from workers.lanes.header import HEADER
from workers.signing import signature_of
from workers.solitary.cells import NoChild
from workers.task.conclusions import conclusion_of, ended_unexpectedly, put_back, refused
from workers.task.messages import attempt_signature
from workers.task.receipt import Receipt
from workers.tracing import NO_TRACING, Conclusion, TraceContext, Tracing

_log = structlog.get_logger(__name__)

#: States of a job that is in its lane, as `AsyncResult.state` shows them.
WAITING = "WAITING"
BUDGET_PAUSED = "BUDGET_PAUSED"

#: A server is away, the broker has no memory left, or this machine has no room for a process.
_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, OperationalError, StoreError, NoChild)

#: Of a thread that waits for the loop, and on the loop itself.
_STOPPED = (CancelledError, asyncio.CancelledError)

#: Why a job goes back that a stopping worker has in hand.
THE_WORKER_STOPS = "the worker stops"

#: Takes a validated job and its id, and says what follows.
Step = Callable[[ExtractionJob, str], Outcome | Accepted | Duplicate]


class Handled:
    """One delivery of a job: what came of it, before Celery is told."""

    __slots__ = ("error", "job_id", "outcome", "parsed", "trace")

    def __init__(self, job_id: str, trace: TraceContext | None) -> None:
        self.job_id = job_id
        #: For messages that follow from it.
        self.trace = trace
        #: The job, once it was read.
        self.parsed: ExtractionJob | None = None
        #: What follows; None where an error came first.
        self.outcome: Outcome | Accepted | Duplicate | None = None
        self.error: BaseException | None = None


@contextmanager
def handling(name: str, job_id: str, carried: TraceContext | None, tracing: Tracing) -> Iterator[Handled]:
    """Whatever one delivery takes goes into this block: in a trace, with its ids on all that is logged meanwhile.

    Errors end here, as a part of what came of it. They leave one line in the log, like every outcome.

    Args:
        name: of the task.
        job_id: the job.
        carried: the trace that its message carried.
        tracing: traces it.
    """
    with tracing.delivery(job_id=job_id, task=name, carried=carried) as delivered:
        handled = Handled(job_id, delivered.context)
        with structlog.contextvars.bound_contextvars(**_ids(handled)):
            try:
                yield handled
                assert handled.parsed is not None and handled.outcome is not None  # noqa: S101, PT018 - filled by the block
                conclusion = conclusion_of(handled.parsed, handled.outcome)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told of it all the same
                handled.error = error
                conclusion = _conclusion_of_error(handled, error)
            delivered.concluded(conclusion)
            _say(name, conclusion)


def carry_out(
    task: "Task[Any, Any]",
    job: dict[str, Any],
    step: Step,
    *,
    pause: Callable[[], None],
    failed: Callable[[ExtractionJob, str, Failure], None],
    tracing: Tracing = NO_TRACING,
) -> Receipt:
    """Run one step of a job as a Celery task.

    Args:
        task: the bound task.
        job: the payload, as it came.
        step: what to do with it; blocks.
        pause: as `conclude`.
        failed: as `conclude`.
        tracing: traces it.

    Raises:
        celery.exceptions.Ignore: the job goes on under another task.
        celery.exceptions.Reject: the job is back on its queue.
        ContractError: the job was refused, or failed; typed.
    """
    job_id = str(task.request.id)
    with handling(task.name, job_id, TraceContext.of(task.request), tracing) as handled:
        handled.parsed = parse_job(job)
        handled.outcome = step(handled.parsed, job_id)
    return conclude(task, job, handled, pause=pause, failed=failed)


def conclude(
    task: "Task[Any, Any]",
    job: dict[str, Any],
    handled: Handled,
    *,
    pause: Callable[[], None],
    failed: Callable[[ExtractionJob, str, Failure], None],
) -> Receipt:
    """Tell Celery what follows from what came of a delivery.

    Args:
        task: the bound task.
        job: the payload, as it came.
        handled: what came of it.
        pause: waits a moment; called before a job goes back to its queue because Redis or the store is away.
        failed: told of a job that ends by an unforeseen error.

    Raises:
        celery.exceptions.Ignore: the job goes on under another task.
        celery.exceptions.Reject: the job is back on its queue.
        ContractError: the job was refused, or failed; typed.
    """
    with structlog.contextvars.bound_contextvars(**_ids(handled)):
        try:
            return _conclude(task, job, handled)
        except (Ignore, Reject, ContractError):
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - typed for the caller, whatever it was
            if error is not handled.error:
                _say(task.name, _conclusion_of_error(handled, error))
            if isinstance(error, _AWAY):
                # Nothing is wrong with the job. It must not fail because a server is away or full for a while.
                pause()
                raise Reject(type(error).__name__, requeue=True) from None
            if isinstance(error, _STOPPED):
                raise Reject(THE_WORKER_STOPS, requeue=True) from None
            # The message of an unforeseen error may quote the payload.
            message = (
                f"job {handled.job_id} met an unforeseen {type(error).__name__}; the worker's log says where. "
                "Please report it; the job can be enqueued again."
            )
            _tell(failed, job, handled.job_id, message)
            details = {"code": FailureCode.INTERNAL.value, "message": type(error).__name__}
            raise ExtractionFailed(message, details) from None


def _ids(handled: Handled) -> dict[str, str]:
    """What all lines about a delivery have in common."""
    trace = {} if handled.trace is None else {"trace_id": handled.trace.trace_id}
    return {"job_id": handled.job_id, **trace}


def _say(task: str, conclusion: Conclusion) -> None:
    _log.log(conclusion.level, conclusion.event, task=task, **conclusion.facts)


def _conclusion_of_error(handled: Handled, error: BaseException) -> Conclusion:
    if isinstance(error, ContractError):
        return refused(handled.parsed, error)
    if isinstance(error, _AWAY):
        return put_back(type(error).__name__, is_trouble=True)
    if isinstance(error, _STOPPED):
        return put_back(THE_WORKER_STOPS)
    # The message may quote the payload: the type and the lines of code must do.
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("job_failed_unexpectedly", error=type(error).__name__, traceback=where)
    return ended_unexpectedly(handled.parsed)


def _tell(
    failed: Callable[[ExtractionJob, str, Failure], None], job: dict[str, Any], job_id: str, message: str
) -> None:
    """Tell of a job that failed by an unforeseen error, whatever else goes wrong."""
    try:
        failed(parse_job(job), job_id, Failure(code=FailureCode.INTERNAL, message=message))
    except Exception as error:  # noqa: BLE001 - the job fails with what came first
        _log.warning("failure_not_told", error=type(error).__name__)


def _conclude(task: "Task[Any, Any]", job: dict[str, Any], handled: Handled) -> Receipt:
    """End a task as its outcome says; messages that follow from it carry the trace.

    A job that goes on is replaced: its id, callbacks and place in a chord go with it, and Celery sees one job.
    """
    if handled.error is not None:
        raise handled.error
    outcome, job_id = handled.outcome, handled.job_id
    assert outcome is not None  # noqa: S101 - there was no error
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
            if isinstance(outcome, HandOff):
                # It was running, and may wait for long where it goes now.
                task.update_state(state=WAITING, meta={"reason": "fallback", "connection": route.connection})
            crashes = (getattr(task.request, HEADER, None) or {}).get("crashes", 0)
            raise task.replace(
                attempt_signature(
                    task.app,
                    job,
                    route,
                    address,
                    job_id=job_id,
                    trace=handled.trace,
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
