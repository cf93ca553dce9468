"""A cached view of the configuration for code on the event loop.

The parameter store blocks and may be far away; reads go to a thread and are trusted for seconds. Credentials are
kept no longer than that either.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from config.connections import EffectiveConnection, effective_chain
from config.credentials import Credential, read_credential
from config.store import ParameterStore
from workers.clock import Clock


class Directory:
    """Chains and credentials of projects."""

    def __init__(self, store: ParameterStore, *, clock: Clock, ttl: float, entries: int = 10_000) -> None:
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._entries = entries
        self._cache: OrderedDict[str, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def chain(self, project: str) -> list[EffectiveConnection]:
        """The primary and then the fallbacks of a project.

        Raises:
            ConfigError: as `config.connections.effective_chain`.
        """
        chain: list[EffectiveConnection] = await self._cached(
            f"chain {project}", lambda: effective_chain(self._store, project)
        )
        return chain

    async def credential(self, effective: EffectiveConnection, *, fresh: bool = False) -> Credential | None:
        """The credential of a connection, or None when it needs none.

        Args:
            effective: the connection as its project sees it.
            fresh: read the store even if a cached value is young; after a provider refused the cached one.

        Raises:
            CredentialMissing: the store does not hold it.
        """
        path = effective.credential_path
        if path is None:
            return None
        key = f"credential {path}"
        if fresh:
            self._cache.pop(key, None)
        credential: Credential | None = await self._cached(key, lambda: read_credential(self._store, effective))
        return credential

    def refuse(self, effective: EffectiveConnection, version: int, code: object) -> None:
        """Stub."""

    async def _cached(self, key: str, read: Callable[[], Any]) -> Any:
        """One read at a time per key; a failed read is not kept."""
        now = self._clock.monotonic()
        entry = self._cache.get(key)
        if entry is not None and entry[0] > now:
            return await asyncio.shield(entry[1])
        future = asyncio.ensure_future(asyncio.to_thread(read))
        self._cache[key] = (now + self._ttl, future)
        self._cache.move_to_end(key)
        while len(self._cache) > self._entries:
            self._cache.popitem(last=False)
        try:
            return await asyncio.shield(future)
        except Exception:
            if self._cache.get(key, (0.0, None))[1] is future:
                del self._cache[key]
            raise
