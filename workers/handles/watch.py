"""Asking for many jobs together, and how often."""

import time
from collections.abc import Iterable
from itertools import chain

import redis
import structlog

from workers.handles.handle import JobHandle
from workers.handles.results import Results

_log = structlog.get_logger(__name__)

#: Seconds between two looks: at least, and at most where the last look was quick.
_SHORTEST = 0.005
_LONGEST = 0.2
_LONGER = 1.5
#: A look that takes long is not repeated before so many times as long.
_REST = 10

#: Seconds that the result store may be away. What it was told meanwhile comes in when it is back.
_OUTAGE = 60.0


class Watch:
    """Jobs that have not ended, as far as is known."""

    def __init__(self, handles: Iterable[JobHandle] = ()) -> None:
        #: Where results come in → id → the handles that wait for it.
        self._open: dict[Results, dict[str, list[JobHandle]]] = {}
        self._known: list[JobHandle] = []
        #: Seconds until the next look is worth it.
        self.pause = 0.0
        self._away_since: float | None = None
        for handle in handles:
            self.add(handle)

    def add(self, handle: JobHandle) -> None:
        """Wait for one more."""
        if handle.ended:
            self._known.append(handle)
        else:
            self._open.setdefault(handle.results, {}).setdefault(handle.id, []).append(handle)
        self.pause = 0.0

    def forget(self, handle: JobHandle) -> None:
        """Wait for one no longer."""
        of_id = self._open.get(handle.results, {}).get(handle.id, [])
        if handle in of_id:
            of_id.remove(handle)
            if not of_id:
                del self._open[handle.results][handle.id]

    @property
    def waits(self) -> bool:
        """Whether there is anything left to wait for."""
        return bool(self._known) or any(self._open.values())

    def waiting(self) -> list[JobHandle]:
        """Those that have not ended."""
        return [handle for by_id in self._open.values() for handle in chain.from_iterable(by_id.values())]

    def look(self) -> list[JobHandle]:
        """Those that have ended since the last look.

        Raises:
            redis.RedisError: the result store was away for too long.
        """
        ended, self._known = self._known, []
        began = time.monotonic()
        try:
            for results, by_id in self._open.items():
                for job_id, told in results.read(list(by_id)):
                    if told.final:
                        ended += [handle for handle in by_id.pop(job_id) if handle.note(told)]
            self._away_since = None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._away_since = began if self._away_since is None else self._away_since
            if time.monotonic() - self._away_since > _OUTAGE:
                raise
            _log.warning("results_not_read", error=type(error).__name__)
        taken = time.monotonic() - began
        longer = _SHORTEST if ended else min(self.pause * _LONGER, _LONGEST)
        self.pause = max(longer, _SHORTEST, taken * _REST)
        return ended
