"""The child process: `python -m workers.solitary.child MODULE…`; runs the jobs that it is told to, one by one.

It ends when its worker closes the pipe, or is gone; not before the job in hand has ended.
"""

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import redis
import structlog

from config.errors import StoreError
from config.settings import load_settings
from workers.engine.engine import Collect, HandOff, Outcome, Park
from workers.log import configure_logging
from workers.monitoring.metrics.series import Counted
from workers.runtime import Runtime
from workers.solitary.frames import Answer, Errand, receive, send
from workers.solitary.marks import Marks

_log = structlog.get_logger(__name__)


def main(modules: list[str]) -> None:
    """Run jobs until there are no more.

    Args:
        modules: what the worker had loaded.
    """
    # Who stops the worker leaves it to the worker to stop its children.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Whatever prints must not print into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    for module in modules:
        importlib.import_module(module)
    # The worker may be gone, and with it whoever would hear of it.
    with suppress(BrokenPipeError), answers:
        voice = Voice(answers)
        with (
            Runtime(settings, looks_after_batches=False, count=voice.count) as runtime,
            redis.Redis.from_url(settings.redis_url) as client,
        ):
            voice.say(Answer())
            _serve(runtime, Marks(client), sys.stdin.buffer, voice)


class Voice:
    """What the child says to its worker. Safe for threads."""

    def __init__(self, answers: IO[bytes]) -> None:
        """Take the pipe."""
        self._answers = answers
        self._lock = threading.Lock()

    def say(self, answer: Answer) -> None:
        """Send one answer.

        Raises:
            OSError: the worker is gone.
        """
        with self._lock:
            send(self._answers, answer)

    def count(self, metric: str, labels: Sequence[str], value: float) -> None:
        """Have the worker count what was measured here; where it is gone, nobody does, and the job goes on."""
        with suppress(OSError):
            self.say(Answer(counted=Counted(metric=metric, labels=tuple(labels), value=value)))


def _serve(runtime: Runtime, marks: Marks, errands: IO[bytes], voice: Voice) -> None:
    while (text := receive(errands)) is not None:
        errand = Errand.model_validate_json(text)
        voice.say(Answer(begun=True))
        trace = {} if errand.trace is None else {"trace_id": errand.trace.trace_id}
        with (
            runtime.tracing.within(errand.trace),
            structlog.contextvars.bound_contextvars(job_id=errand.job_id, **trace),
        ):
            answer = _run(runtime, errand)
        # Whatever has become of the worker: the job has not killed this process.
        marks.outlived(errand.job_id)
        voice.say(answer)


def _run(runtime: Runtime, errand: Errand) -> Answer:
    try:
        return _answer(runtime.attempt_here(errand.job, errand.job_id, errand.route, errand.delivery))
    except (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, StoreError) as error:
        return Answer(away=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - typed for the caller, whatever it was
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("job_failed_unexpectedly", error=type(error).__name__, traceback=where)
        return Answer(unforeseen=type(error).__name__)


def _answer(outcome: Outcome) -> Answer:
    match outcome:
        case Park():
            return Answer(park=outcome)
        case HandOff():
            return Answer(hand_off=outcome)
        case Collect():
            return Answer(collect=outcome)
    return Answer(ending=outcome)


if __name__ == "__main__":
    main(sys.argv[1:])
