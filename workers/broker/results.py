"""Where results are stored: Celery's backend on Redis, with one script that writes.

It writes when Redis has no memory left, too: a full broker refuses new jobs, and must not refuse the results of those
that it has accepted, which were paid for, and whose ends make room. And it never writes over an end what came before
the end; Celery looks and writes in two steps, between which a worker may be stopped for minutes.
"""

from typing import Any

from celery.backends.redis import RedisBackend

from workers.lua import lua


class ResultBackend(RedisBackend):
    """The backend; see the module."""

    # Celery's own, which its type stubs leave out.
    expires: int | None
    _store: Any = None

    def _set(self, key: str, value: str | bytes, expires: float | None = None) -> None:
        """Store a result and tell those who wait for it; one command."""
        if self._store is None:
            self._store = self.client.register_script(lua("workers.broker", "result"))
        self._store(
            keys=[key], args=[value, int((self.expires if expires is None else expires) or 0)], client=self.client
        )
