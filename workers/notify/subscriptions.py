"""A cached view of webhooks for code on the event loop: who subscribes to what, and what signs.

Most jobs end where nobody subscribes: that must cost a look into a dictionary. What was read last serves on while the
store is away.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import SecretStr

from config.connections import account_path, project_path, read_project
from config.connections.paths import ACCOUNTS
from config.errors import StoreError
from config.store import ParameterStore
from config.webhooks import CALLBACK, Webhook, effective_webhooks, read_webhook, signing_secrets
from workers.clock import Clock

#: Seconds that a read serves on, beyond its time, while the store is away.
_STALE = 300.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A webhook with the secrets that sign for it now, the newest first."""

    webhook: Webhook
    secrets: tuple[SecretStr, ...]


class Subscriptions:
    """Webhooks of projects and accounts."""

    def __init__(self, store: ParameterStore, *, clock: Clock, ttl: float, entries: int = 10_000) -> None:
        """`ttl` is how long a read is trusted, in seconds; `entries` how many are kept."""
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._entries = entries
        #: Key → until when it is trusted, and what was read; in the order of the reads.
        self._cache: OrderedDict[tuple[str, ...], tuple[float, Any]] = OrderedDict()
        self._reading: dict[tuple[str, ...], asyncio.Future[Any]] = {}
        #: How many changes there were: a read that one of them overtook is not kept.
        self._changes = 0

    async def takers(self, *, project: str | None, account: str | None, kind: str) -> list[Webhook]:
        """The webhooks that take a kind of event of a project, or without one of an account.

        Raises:
            ConfigError: they cannot be read.
        """
        # Only the name decides: a project says itself whose it is.
        key = ("project", project) if project is not None else ("account", account or "")
        found: list[Webhook] = await self._cached(
            key, lambda: effective_webhooks(self._store, project=project, account=account)
        )
        return [webhook for webhook in found if webhook.takes(kind)]

    async def signed(self, scope: str, name: str) -> Signed | None:
        """One webhook with its secrets, or None when it is not there.

        Raises:
            ConfigError: it cannot be read.
        """
        found: Signed | None = await self._cached(("signed", scope, name), lambda: self._signed(scope, name))
        return found

    async def signer(self, project: str) -> Signed | None:
        """What signs the callbacks of a project's jobs: its own secret, or its account's.

        Raises:
            ConfigError: it cannot be read.
        """
        found: Signed | None = await self._cached(("signer", project), lambda: self._signer(project))
        return found

    def drop(self, scope: str) -> None:
        """Read anew what a change of a project or an account may show in, reads under way included."""
        if scope.startswith(f"{ACCOUNTS}/"):
            # Whose account it is, a cached read does not tell.
            self.drop_everything()
            return
        self._changes += 1
        names = {scope, scope.rsplit("/", 1)[1]}
        for kept in (self._cache, self._reading):
            for key in [key for key in kept if key[1] in names]:
                del kept[key]

    def drop_everything(self) -> None:
        """Read everything anew, since something may have been changed."""
        self._changes += 1
        self._cache.clear()
        self._reading.clear()

    def sweep(self) -> None:
        """Drop what was read too long ago: no secret stays in memory that is not in use."""
        oldest = self._clock.monotonic() - _STALE
        while self._cache and next(iter(self._cache.values()))[0] < oldest:
            self._cache.popitem(last=False)

    def _signed(self, scope: str, name: str) -> Signed | None:
        webhook = read_webhook(self._store, scope, name)
        if webhook is None:
            return None
        return Signed(webhook=webhook, secrets=tuple(signing_secrets(self._store, webhook, now=self._clock.now())))

    def _signer(self, project: str) -> Signed | None:
        webhook = find_signer(self._store, project)
        return self._signed(webhook.scope, webhook.name) if webhook else None

    async def _cached(self, key: tuple[str, ...], read: Callable[[], Any]) -> Any:
        """One read at a time per key."""
        entry = self._cache.get(key)
        if entry is not None and entry[0] > self._clock.monotonic():
            return entry[1]
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.ensure_future(self._read(key, read))
            reading.add_done_callback(lambda done: self._read_done(key, done))
        return await asyncio.shield(reading)

    async def _read(self, key: tuple[str, ...], read: Callable[[], Any]) -> Any:
        self.sweep()
        changes = self._changes
        try:
            value = await asyncio.to_thread(read)
        except StoreError as error:
            if key not in self._cache:
                raise
            _log.warning("webhooks_not_read", what=" ".join(key), error=type(error).__name__)
            return self._cache[key][1]
        if changes != self._changes:
            return value
        self._cache[key] = (self._clock.monotonic() + self._ttl, value)
        self._cache.move_to_end(key)
        while len(self._cache) > self._entries:
            self._cache.popitem(last=False)
        return value

    def _read_done(self, key: tuple[str, ...], done: "asyncio.Future[Any]") -> None:
        if self._reading.get(key) is done:
            del self._reading[key]


def find_signer(store: ParameterStore, project: str) -> Webhook | None:
    """The webhook whose secret signs the callbacks of a project's jobs: its own, or else its account's.

    Raises:
        ConfigError: it cannot be read.
    """
    profile = read_project(store, project)
    own = read_webhook(store, project_path(project), CALLBACK)
    if own is not None or profile is None or profile.account is None:
        return own
    return read_webhook(store, account_path(profile.account), CALLBACK)
