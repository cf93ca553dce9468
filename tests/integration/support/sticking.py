"""For `celery worker --include`: a worker that gets stuck when it is told to.

SIGUSR1 lets its event loop stand still, SIGUSR2 its main thread, where Celery's consumer turns.
"""

import signal
import time
from typing import Any

from celery import signals

from workers.process import runtime

#: Seconds that it stands still.
STILL = 3.0


def _stand_still(*_: Any) -> None:
    time.sleep(STILL)


def _stop_the_loop(*_: Any) -> None:
    runtime()._loop.call_soon_threadsafe(_stand_still)


@signals.worker_ready.connect(weak=False)
def _listen(**_options: Any) -> None:
    signal.signal(signal.SIGUSR1, _stop_the_loop)
    signal.signal(signal.SIGUSR2, _stand_still)
