"""The runtime of this process: built when the first task needs it, closed when the worker stops."""

import gc
import threading
from typing import Any, Final

from celery import signals

from config.settings import load_settings
from workers.runtime import Runtime

#: New objects that a collection of each generation waits for, in the unit of the one before it.
_GC_THRESHOLDS: Final = (50_000, 5, 10)

_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process, built when the first task needs it."""
    global _runtime  # noqa: PLW0603 - one per process, like Celery's app
    with _lock:
        if _runtime is None:
            _runtime = Runtime(load_settings())
            # What start-up made lives as long as the process: the garbage collector need not walk it time and again.
            gc.collect()
            gc.freeze()
            # Nearly all that calls leave is freed without it, and it walks all calls in flight each time: at every few
            # thousand new objects that is a tenth of what a call costs.
            gc.set_threshold(*_GC_THRESHOLDS)
            signals.worker_shutting_down.connect(_on_worker_shutting_down, weak=False, dispatch_uid="byom.drain")
            signals.worker_shutdown.connect(_on_worker_shutdown, weak=False, dispatch_uid="byom.runtime")
        return _runtime


def _on_worker_shutting_down(**_options: Any) -> None:
    """Celery waits for running tasks as long as they take; a deploy does not."""
    timer = threading.Timer(load_settings().shutdown_timeout, _abandon)
    timer.daemon = True
    timer.start()


def _abandon() -> None:
    if _runtime is not None:
        _runtime.abandon()


def _on_worker_shutdown(**_options: Any) -> None:
    global _runtime  # noqa: PLW0603 - as above
    with _lock:
        if _runtime is not None:
            _runtime.close()
            _runtime = None
