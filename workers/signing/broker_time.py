"""The broker's clock, by which all workers agree how old a signature is."""

import threading
from datetime import UTC, datetime
from typing import Final

import redis

from workers.clock import Clock

#: Seconds between two looks at the broker's clock.
_LOOK: Final = 60.0


class BrokerTime:
    """The broker's clock, read from time to time: those of workers may differ. Safe for threads."""

    def __init__(self, client: redis.Redis, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._read: tuple[float, float] | None = None

    def __call__(self) -> datetime:
        """The instant.

        Raises:
            redis.RedisError: the broker cannot be asked.
        """
        now = self._clock.monotonic()
        read = self._read
        if read is None or now - read[0] > _LOOK:
            with self._lock:
                read = self._read
                if read is None or now - read[0] > _LOOK:
                    seconds, microseconds = self._client.time()
                    read = self._read = (now, seconds + microseconds / 1e6)
        return datetime.fromtimestamp(read[1] + now - read[0], UTC)
