"""Stop signals as an event, so that a foreground command ends in its own order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Set by the first stop signal."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._again: Callable[[], None] | None = None

    def on_repeat(self, hurry: Callable[[], None]) -> None:
        """What to do when a second signal comes: whoever presses Ctrl-C twice does not want to wait."""
        self._again = hurry

    @property
    def wanted(self) -> bool:
        """Whether a signal came."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, or until a signal comes; whether one did."""
        return self._event.wait(seconds)

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        if self._event.is_set() and self._again is not None:
            self._again()
        self._event.set()


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catch SIGINT, SIGTERM and SIGHUP while the block runs. Main thread only."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in _STOP}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
