"""Bounds on calls in flight within one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from config.connections import EffectiveConnection
from tasks.contract import TokenUsage

from .base import Lease


class _Unmetered:
    """A lease that meters nothing: concurrency is all that is bounded here."""

    def settle(self, usage: TokenUsage) -> None:
        """Nothing to correct."""


class LocalAdmission:
    """A semaphore for the process and one per connection that sets `max_concurrency`."""

    def __init__(self, *, max_calls: int) -> None:
        self._process = asyncio.Semaphore(max_calls)
        # An idle connection's semaphore goes with its last user, so that the table stays as small as the traffic.
        self._connections: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def admit(self, effective: EffectiveConnection, *, tokens: int) -> AsyncIterator[Lease]:  # noqa: ARG002
        """Wait for leave to make one call. `tokens` is not metered here."""
        limit = effective.connection.max_concurrency
        if limit is None:
            async with self._process:
                yield _Unmetered()
            return
        # The connection's place comes first: who waits for it must not hold a place that others could use.
        async with self._semaphore(effective.key, limit), self._process:
            yield _Unmetered()

    def _semaphore(self, key: str, limit: int) -> asyncio.Semaphore:
        """The semaphore of a connection; a changed limit starts a new one, the old drains."""
        semaphore = self._connections.get((key, limit))
        if semaphore is None:
            semaphore = asyncio.Semaphore(limit)
            self._connections[key, limit] = semaphore
        return semaphore
