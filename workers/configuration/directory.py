"""A cached view of the configuration for code on the event loop.

The parameter store blocks and may be far away; reads go to a thread and are trusted until a notice of a change comes,
and for seconds at most. Secrets are kept no longer than that either, used or not.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from config.connections import EffectiveConnection, account_path, effective_chain
from config.copying import ROOT
from config.credentials import Credential, read_credential
from config.errors import CredentialRefused
from config.store import ParameterStore
from workers.clock import Clock

#: Seconds that a decrypted secret is kept at most, however long other reads are trusted.
SECRETS_KEPT: Final = 300.0
#: Seconds that a version is not used again after its provider refused it.
REFUSED_FOR: Final = 300.0
#: Seconds between two looks at what has expired.
_SWEEP: Final = 1.0


@dataclass(slots=True, kw_only=True)
class _Entry:
    """A read, under way or done."""

    expires: float
    read: "asyncio.Future[Any]"
    #: Paths of the projects and accounts whose changes it may show, as far as they are known before it is read.
    scopes: frozenset[str]


@dataclass(slots=True, kw_only=True)
class _Cache:
    """Reads by key, in the order in which they expire."""

    ttl: float
    entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)

    def expire(self, now: float, *, most: int) -> None:
        """Drop what is too old, and the oldest of what is too much."""
        while self.entries and (len(self.entries) > most or next(iter(self.entries.values())).expires <= now):
            self.entries.popitem(last=False)

    def drop(self, affected: Callable[[_Entry], bool]) -> None:
        for key in [key for key, entry in self.entries.items() if affected(entry)]:
            del self.entries[key]


class Directory:
    """Chains and credentials of projects. For one event loop."""

    def __init__(self, store: ParameterStore, *, clock: Clock, ttl: float, entries: int = 10_000) -> None:
        """`ttl` bounds how long a read is trusted, in seconds; `entries` how many of each kind are kept."""
        self._store = store
        self._clock = clock
        self._most = entries
        self._chains = _Cache(ttl=ttl)
        self._credentials = _Cache(ttl=min(ttl, SECRETS_KEPT))
        #: (path of a credential, version) → until when it is not used.
        self._refused: OrderedDict[tuple[str, int], float] = OrderedDict()
        #: (meter, version that was refused) → when it was last looked after.
        self._looked: OrderedDict[tuple[str, int], float] = OrderedDict()

    async def chain(self, project: str) -> list[EffectiveConnection]:
        """The primary and then the fallbacks of a project.

        Raises:
            ConfigError: as `config.connections.effective_chain`.
        """

        def read() -> list[EffectiveConnection]:
            return effective_chain(self._store, project)

        chain: list[EffectiveConnection] = await self._cached(
            self._chains, project, read, scopes=frozenset({f"/byom/projects/{project}"})
        )
        return chain

    async def credential(self, effective: EffectiveConnection, *, fresh: bool = False) -> Credential | None:
        """The active version of a connection's credential, or None when the connection needs none.

        Args:
            effective: the connection as its project sees it.
            fresh: read the store even if a cached value is young; after a provider refused the cached one.

        Raises:
            CredentialMissing: the store does not hold it, or none of its versions is active.
            CredentialRefused: its provider refused the active version a short while ago.
            ConfigError: as `config.credentials.read_credential`.
        """
        path = effective.credential_path
        if path is None:
            return None
        if fresh:
            self._credentials.entries.pop(path, None)
        scopes = {effective.credential_scope.removesuffix("/credentials")}
        if effective.account:
            # The account's key is what a project's secrets are encrypted under.
            scopes.add(account_path(effective.account))
        credential: Credential | None = await self._cached(
            self._credentials, path, lambda: read_credential(self._store, effective), scopes=frozenset(scopes)
        )
        if credential is not None and self._is_refused(path, credential.version):
            raise CredentialRefused(_refusal(effective, credential.version), credential.version)
        return credential

    def refuse(self, effective: EffectiveConnection, version: int) -> bool:
        """Do not use a version again for some minutes, in this process: its provider refused it.

        Returns:
            Whether that is news; several calls may learn it at the same time.
        """
        path = effective.credential_path
        if path is None:
            return False
        news = not self._is_refused(path, version)
        self._note_look(effective, version)
        self._refused[path, version] = self._clock.monotonic() + REFUSED_FOR
        self._refused.move_to_end((path, version))
        while len(self._refused) > self._most:
            self._refused.popitem(last=False)
        return news

    def looks_again(self, effective: EffectiveConnection, version: int | None, *, after: float) -> bool:
        """Whether so many seconds have passed since somebody here looked after a version that was refused.

        Says so once: whoever is told looks.
        """
        if version is None:
            return False
        looked = self._looked.get((effective.key, version))
        if looked is not None and self._clock.monotonic() < looked + after:
            return False
        self._note_look(effective, version)
        return True

    def _note_look(self, effective: EffectiveConnection, version: int) -> None:
        self._looked[effective.key, version] = self._clock.monotonic()
        self._looked.move_to_end((effective.key, version))
        while len(self._looked) > self._most:
            self._looked.popitem(last=False)

    def drop(self, scope: str, *, trust: bool = False) -> None:
        """Forget what was read of a project or an account: it has changed.

        Reads that are under way are let go of, too: they may have seen what was there before.

        Args:
            scope: path of the project, of the account whose projects it is about, or of everything.
            trust: versions that a provider refused may be used again, for somebody has seen to it.
        """
        if scope == ROOT:
            self.drop_everything()
            return
        self._chains.drop(lambda entry: scope in entry.scopes or _may_inherit(entry, scope))
        self._credentials.drop(lambda entry: scope in entry.scopes)
        if trust:
            for key in [key for key in self._refused if key[0].startswith(f"{scope}/")]:
                del self._refused[key]

    def drop_everything(self) -> None:
        """Forget all that was read: nobody knows what has changed. What providers refused stays refused."""
        self._chains.entries.clear()
        self._credentials.entries.clear()

    def expire(self) -> None:
        """Let go of what is too old, secrets above all, although nobody asks for it."""
        now = self._clock.monotonic()
        self._chains.expire(now, most=self._most)
        self._credentials.expire(now, most=self._most)
        while self._refused and next(iter(self._refused.values())) <= now:
            self._refused.popitem(last=False)

    async def expire_forever(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Let go of what is too old, time and again, until it is cancelled."""
        while True:
            await sleep(_SWEEP)
            self.expire()

    def _is_refused(self, path: str, version: int) -> bool:
        return self._refused.get((path, version), 0.0) > self._clock.monotonic()

    async def _cached(self, cache: _Cache, key: str, read: Callable[[], Any], *, scopes: frozenset[str]) -> Any:
        """One read at a time per key; a failed read is not kept."""
        now = self._clock.monotonic()
        entry = cache.entries.get(key)
        if entry is not None and entry.expires > now:
            return await asyncio.shield(entry.read)
        entry = _Entry(expires=now + cache.ttl, read=asyncio.ensure_future(asyncio.to_thread(read)), scopes=scopes)
        cache.entries[key] = entry
        cache.entries.move_to_end(key)
        cache.expire(now, most=self._most)
        try:
            return await asyncio.shield(entry.read)
        except Exception:
            if cache.entries.get(key) is entry:
                del cache.entries[key]
            raise


def _may_inherit(entry: _Entry, scope: str) -> bool:
    """Whether a chain may show what an account sets; as long as it is being read, nobody knows its account."""
    if not entry.read.done() or entry.read.cancelled() or entry.read.exception() is not None:
        return True
    return any(link.account is not None and account_path(link.account) == scope for link in entry.read.result())


def _refusal(effective: EffectiveConnection, version: int) -> str:
    connection = effective.connection
    return (
        f"connection '{connection.name}' of project '{effective.project}': the provider refused version {version} of "
        f"the credential '{connection.credential}' a short while ago; mend it there and verify it (byom credential "
        "verify), or rotate it (byom credential add)"
    )
