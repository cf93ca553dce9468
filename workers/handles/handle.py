"""A job by its id: where it is, and how it ended."""

from collections.abc import Generator
from typing import Any

from celery import states

from tasks.contract import ContractError, ExtractionFailed, ExtractionResult, FailureCode
from workers.handles.results import Results, Told
from workers.task.extraction_body import BUDGET_PAUSED, WAITING

_STATES = {
    states.PENDING: "pending",
    states.RECEIVED: "queued",
    states.STARTED: "running",
    states.RETRY: "running",
    states.IGNORED: "running",
    WAITING: "waiting",
    BUDGET_PAUSED: "budget_paused",
    states.FAILURE: "failed",
    states.REVOKED: "failed",
}


class JobHandle:
    """A job by its id. Costs nothing until it is asked; may be awaited.

    Once it has ended it is not asked for again, and its result is kept for as long as the handle lives.
    """

    __slots__ = ("_ended", "_results", "duplicate", "id")

    def __init__(self, job_id: str, results: Results, *, duplicate: bool = False) -> None:
        self._results = results
        self._ended: Told | None = None
        #: The job's id; the same from enqueue to result, across fallbacks.
        self.id = job_id
        #: Whether the job was known already, by its idempotency key or its own id, and was not published once more. The
        #: handle is then that of the first job.
        self.duplicate = duplicate

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"

    def state(self) -> str:
        """Where the job is.

        `pending` (queued, or not known), `running`, `waiting` (for a limit or for a connection to be well again),
        `budget_paused`, `succeeded`, `partial`, `duplicate` or `failed`.

        Raises:
            redis.RedisError: the result store cannot be asked.
        """
        told = self._ended or self._ask()
        state = told.state if told is not None else states.PENDING
        if told is not None and state == states.SUCCESS:
            return ExtractionResult.model_validate(told.value).status.value
        return _STATES.get(state, state.lower())

    def done(self) -> bool:
        """Whether the job has ended.

        Raises:
            redis.RedisError: the result store cannot be asked.
        """
        if self._ended is None:
            self._ask()
        return self._ended is not None

    def result(self, timeout: float | None = None) -> ExtractionResult:
        """Wait for the job to end.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            ExtractionFailed: the job ended `failed`; `code` and `details` say why.
            JobRefused: a worker found the job unacceptable.
            TimeoutError: it has not ended yet.
            redis.RedisError: the result store cannot be asked.
        """
        if error := self.exception(timeout):
            raise error
        assert self._ended is not None  # noqa: S101 - it has no error, so it has a result
        return ExtractionResult.model_validate(self._ended.value)

    def exception(self, timeout: float | None = None) -> ContractError | None:
        """Wait for the job to end, and say why it failed; None if it did not.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            TimeoutError: it has not ended yet.
            redis.RedisError: the result store cannot be asked.
        """
        from workers.handles.waiting import wait  # noqa: PLC0415 - waiting is for handles

        if self._ended is None and wait([self], timeout=timeout).not_done:
            raise TimeoutError(
                f"job {self.id} has not ended after {timeout:g} s; it goes on: ask again with `byom result {self.id}`"
            )
        assert self._ended is not None  # noqa: S101 - waited for
        return None if self._ended.state == states.SUCCESS else self._as_error(self._ended.value)

    def __await__(self) -> Generator[Any, None, ExtractionResult]:
        """As `result`, without a timeout: `asyncio.timeout` sets one."""
        from workers.handles.aio import ended  # noqa: PLC0415 - as above

        yield from ended(self).__await__()
        return self.result()

    def note(self, told: Told) -> bool:
        """Keep what is said of the job if that is its end; whether it is."""
        if self._ended is None and told.final:
            self._ended = told
        return self._ended is not None

    @property
    def ended(self) -> bool:
        """Whether its end is known already; asks nobody."""
        return self._ended is not None

    @property
    def results(self) -> Results:
        """Where its result comes in."""
        return self._results

    def _ask(self) -> Told | None:
        told = self._results.of(self.id)
        if told is not None:
            self.note(told)
        return told

    def _as_error(self, error: Any) -> ContractError:
        if isinstance(error, ContractError):
            return error
        name = type(error).__name__
        details = {"code": FailureCode.INTERNAL.value, "error": name}
        failed = ExtractionFailed(f"job {self.id} ended with {name}; the worker's log has the traceback", details)
        failed.__cause__ = error if isinstance(error, BaseException) else None
        return failed
