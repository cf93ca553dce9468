"""A thread that keeps telling Redis that this worker lives."""

import threading
from collections.abc import Callable

import redis
import structlog

_log = structlog.get_logger(__name__)

#: Seconds between tries while Redis cannot be reached. Short, so that after an outage the living renew before anybody
#: starts to look for the dead.
_RETRY = 1.0


class Renewal:
    """Calls `renew` every `interval` seconds.

    A thread rather than a timer of the event loop: the loop stands still while a stopping worker waits for its last
    jobs and while a lost connection is re-established, and exactly then the jobs in hand must not expire.
    """

    def __init__(self, renew: Callable[[], bool], *, interval: float) -> None:
        """Take the work.

        Args:
            renew: renews all that is in hand; False when nothing is.
            interval: seconds.
        """
        self._renew = renew
        self._interval = interval
        self._stop = threading.Event()
        self._last_round = False
        self._thread = threading.Thread(target=self._run, name="byom-renewal", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End now."""
        self._stop.set()
        self.join(timeout=5)

    def finish(self) -> None:
        """End when nothing is in hand any more."""
        self._last_round = True

    def join(self, timeout: float) -> bool:
        """Wait for the end; False if it has not come after `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(min(_RETRY, self._interval) if failing else self._interval):
            try:
                in_hand = self._renew()
            except (redis.RedisError, OSError) as error:
                if not failing:
                    _log.warning("messages in hand cannot be renewed; trying again", error=type(error).__name__)
                failing = True
                continue
            if failing:
                _log.info("messages in hand are renewed again")
            failing = False
            if self._last_round and not in_hand:
                return
