"""Celery's pool of threads, for tasks that need no thread while they run.

A thread that waits for the event loop costs more than what it waits for: each job would wake it several times, and
threads that wake each other fight for the interpreter. So a task may *begin* by itself: the pool asks it, it runs
somewhere else and tells when it is done. Only what is not a plain success then gets a thread, in which Celery runs the
task in its own way. Tasks that do not begin by themselves get a thread from the start.

And there is no way for a job to get stuck in it. An error that leaves the task's thread, such as that of a result
which cannot be stored (`workers.broker.results`), reaches nobody in Celery's own pool: the message is neither
acknowledged nor put back, its worker renews it for as long as it lives, and has one place less for other jobs. Here it
goes back to its queue.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery.app.trace import fast_trace_task, trace_task_ret
from celery.concurrency import thread
from celery.concurrency.base import apply_target
from celery.exceptions import Reject

_log = structlog.get_logger(__name__)

#: Seconds before a job goes back, so that it does not go round and round while the result store is away.
_PAUSE = 1.0

#: How Celery hands over a task; the first three arguments are its name, its id and what is known of its message.
_TRACERS = (fast_trace_task, trace_task_ret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """A task is over, and its result is stored."""

    #: What events show of the result.
    shown: str
    #: How long it took.
    seconds: float


#: Takes what came of a task that began by itself: that it succeeded; None if it is to be run in a thread now; or an
#: error, which puts it back.
Done = Callable[[Succeeded | Exception | None], None]

#: Takes what is known of a message, the message's body as `(args, kwargs, embedded)`, and whom to tell, once and from
#: any thread. False if the task is to be run in a thread.
Begin = Callable[[dict[str, Any], Any, Done], bool]


class TaskPool(thread.TaskPool):
    """The pool; see the module. A task that can begin by itself has a method `begin`, a `Begin`."""

    # Celery's own, which its type stubs leave out.
    executor: ThreadPoolExecutor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = 0
        self._all_done = threading.Condition()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run a task."""
        begin: Begin | None = None
        # Celery fetches no more than there are places for, but jobs of a lost connection run on beside new ones.
        if target in _TRACERS and self._begun < self.limit:
            begin = getattr(self.app.tasks[args[0]], "begin", None)
        if begin is not None and callback is not None:
            self._enter()
            if begin(args[2], args[3], partial(self._go_on, target, args, kwargs, callback)):
                if accept_callback is not None:
                    accept_callback(os.getpid(), time.monotonic())
                return None
            self._leave()
        return super().on_apply(_put_back_on_error(target), args, kwargs, callback, accept_callback, **options)

    def on_stop(self) -> None:
        """Wait for all that runs."""
        with self._all_done:
            self._all_done.wait_for(lambda: not self._begun)
        super().on_stop()

    def _go_on(
        self,
        target: Callable[..., Any],
        args: Any,
        kwargs: Any,
        callback: Callable[..., Any],
        came: Succeeded | Exception | None,
    ) -> None:
        """A task that began by itself is done."""
        if isinstance(came, Succeeded):
            try:
                # Not failed, with what, after how many seconds: as Celery's tracer answers.
                callback((0, came.shown, came.seconds))
            finally:
                self._leave()
            return
        run = target if came is None else partial(_raise, came)
        try:
            self.executor.submit(self._finish, run, args, kwargs, callback)
        except RuntimeError:
            # The worker is at its end; what it holds goes back to its queues.
            self._leave()

    def _finish(self, target: Callable[..., Any], args: Any, kwargs: Any, callback: Callable[..., Any]) -> None:
        try:
            apply_target(_put_back_on_error(target), args, kwargs, callback)
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._all_done:
            self._begun += 1

    def _leave(self) -> None:
        with self._all_done:
            self._begun -= 1
            if not self._begun:
                self._all_done.notify_all()


def _raise(error: Exception, *_args: Any, **_kwargs: Any) -> None:
    raise error


def _put_back_on_error(target: Callable[..., Any]) -> Callable[..., Any]:
    """The same task, which answers "put it back" where it would raise."""

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return target(*args, **kwargs)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the job is not over
            # The message of an error may quote the payload.
            _log.error("job_put_back", error=type(error).__name__, why="the end of its task could not be stored")
            time.sleep(_PAUSE)
            why = Reject(type(error).__name__, requeue=True)
            # Failed, with what, after how many seconds: as Celery's tracer answers.
            return 1, ExceptionInfo((Reject, why, error.__traceback__)), 0.0

    return run
