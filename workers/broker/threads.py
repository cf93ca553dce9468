"""Celery's pool of threads, with no way for a job to get stuck in it.

Where a result cannot be stored, Celery's own error handling fails as well, and the error leaves the task's thread.
Nobody is told then: the message is neither acknowledged nor put back, its worker renews it for as long as it lives, and
has one place less for other jobs. Here such a job goes back to its queue.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery.concurrency import thread
from celery.exceptions import Reject

_log = structlog.get_logger(__name__)

#: Seconds before a job goes back, so that it does not go round and round while the result store is away.
_PAUSE = 1.0


class TaskPool(thread.TaskPool):
    """The pool; see the module."""

    def on_apply(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a task in a thread."""
        return super().on_apply(_put_back_on_error(target), *args, **kwargs)


def _put_back_on_error(
    target: Callable[..., Any], *, pause: Callable[[float], object] | None = None
) -> Callable[..., Any]:
    """The same task, which answers "put it back" where it would raise."""
    wait = pause or threading.Event().wait

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return target(*args, **kwargs)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the job is not over
            # The message of an error may quote the payload.
            _log.error("job_put_back", error=type(error).__name__, why="the end of its task could not be stored")
            wait(_PAUSE)
            why = Reject(type(error).__name__, requeue=True)
            # Failed, with what, after how many seconds: as Celery's tracer answers.
            return 1, ExceptionInfo((Reject, why, error.__traceback__)), 0.0

    return run
