"""One time for all workers: the broker's.

A machine whose clock is minutes off would count usage in the wrong hour, sign what vendors and receivers of webhooks
refuse, and take what another worker did a moment ago for something of the future. Scripts ask the server for the time;
what a worker dates itself is dated by this.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Tries to ask for the time before the first job, and seconds that each may take and between two: together less than a
#: worker may stand still before it is taken for stuck.
_TRIES: Final = 10
_TRY, _PAUSE = 3.0, 0.5
#: Seconds by which two clocks may drift apart in one second: ten times what is usual.
_DRIFT: Final = 0.0005


class PoolClock:
    """The broker's time, as far as it was heard; until then, this machine's. May be asked from all threads."""

    def __init__(
        self, *, system: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`system` tells seconds since 1970 by this machine, `monotonic` seconds that never run backwards."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: What `monotonic` showed at midnight of 1970, were it always running; and by how much that may be wrong.
        self._ahead, self._doubt, self._heard_at = system() - monotonic(), float("inf"), 0.0

    def now(self) -> datetime:
        """The current instant in UTC; jumps of this machine's clock do not show."""
        return _EPOCH + timedelta(seconds=self._monotonic() + self._ahead)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._monotonic()

    def heard(self, told: tuple[int, int], *, asked: float) -> None:
        """Take an answer of the broker's `TIME`, which has just come.

        One that took long says little; it is taken only where it says more than what is known still does.

        Args:
            told: seconds and microseconds.
            asked: `monotonic` when the question was sent.
        """
        answered = self._monotonic()
        doubt = (answered - asked) / 2
        ahead = told[0] + told[1] / 1e6 - (asked + answered) / 2
        with self._lock:
            grown = self._doubt + (answered - self._heard_at) * _DRIFT
            # Further away than both can be wrong: the server's clock was set, or it is another server.
            moved = abs(ahead - self._ahead) > doubt + grown
            if doubt <= grown or moved:
                self._ahead, self._doubt, self._heard_at = ahead, doubt, answered


def synchronised(url: str, *, wait: Callable[[float], object]) -> PoolClock:
    """A clock that is right from the first job on, for which the broker is asked until it answers; for half a minute.

    Args:
        url: of the broker.
        wait: waits for so many seconds.
    """
    clock = PoolClock()
    # A broker that keeps its connections and answers nobody is not to keep the process from starting.
    with redis.Redis.from_url(
        url, socket_timeout=_TRY, socket_connect_timeout=_TRY, retry=Retry(NoBackoff(), 0)
    ) as client:
        for _ in range(_TRIES):
            asked = clock.monotonic()
            try:
                clock.heard(client.time(), asked=asked)
            except redis.RedisError:
                wait(_PAUSE)
                continue
            break
    return clock
