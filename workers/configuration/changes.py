"""Notices of changes of the configuration: who changes it announces it, and all workers drop what they read of it.

Notices go through a capped stream, not through publish and subscribe, so that none is lost between two reads. A worker
that cannot tell what it missed, since its connection broke or the stream is gone, drops everything.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import redis
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.store.base import check_path

CHANGES_KEY: Final = "byom:config:changes"
#: Notices that are kept at least.
_KEPT: Final = 1_000
#: Milliseconds that one read waits for notices; the server then answers that there are none.
_BLOCK: Final = 5_000
#: Seconds without any answer after which a connection counts as dead.
_SILENCE: Final = _BLOCK / 1_000 + 5
#: Seconds between two tries to reach Redis: the first, and the longest.
_PAUSE: Final = 0.1
_PAUSE_MAX: Final = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something below a project's or an account's path has changed."""

    scope: str
    #: Whether what a provider refused may be tried again.
    trust: bool = False


class Announcer:
    """Announces changes, after they are written. Synchronous: commands use it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def announce(self, change: Change) -> bool:
        """Tell all workers; False when Redis cannot be told, and they notice only when what they read is too old."""
        fields: dict[str, str] = {"scope": change.scope}
        if change.trust:
            fields["trust"] = "1"
        try:
            # The stubs want a dict of a wider type.
            self._client.xadd(CHANGES_KEY, fields, maxlen=_KEPT, approximate=True)  # type: ignore[arg-type]
        except redis.RedisError:
            return False
        return True


class Follower:
    """Reads notices as they come, on a connection of its own."""

    def __init__(
        self,
        client: Redis,
        *,
        changed: Callable[[Change], None],
        unknown: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare to follow.

        Args:
            client: for this follower alone; closed by it. It must not try again by itself: a connection that breaks
                is a gap.
            changed: called with each change.
            unknown: called at the start, and whenever changes may have been missed.
            sleep: waits between two tries to reach Redis.
        """
        self._client = client
        self._changed = changed
        self._unknown = unknown
        self._sleep = sleep

    @classmethod
    def at(cls, url: str, *, changed: Callable[[Change], None], unknown: Callable[[], None]) -> Self:
        """A follower of the Redis at a URL."""
        client = Redis.from_url(
            url,
            decode_responses=True,
            max_connections=1,
            # The client's own timeouts are kept by `asyncio.wait_for`, which may swallow a cancellation in Python 3.11.
            socket_timeout=None,
            socket_connect_timeout=5,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client, changed=changed, unknown=unknown)

    async def follow_forever(self) -> None:
        """Follow until it is cancelled; Redis may come and go meanwhile."""
        pause = _PAUSE
        try:
            while True:
                try:
                    position = await self._newest()
                    # After the position is known: what is read from now on is either new, or announced after it.
                    self._unknown()
                    pause = _PAUSE
                    while True:
                        position = await self._read(position)
                except Exception as error:  # noqa: BLE001 - whatever it was: without this task, no change is noticed
                    if pause == _PAUSE:
                        _log.warning("changes_not_followed", error=type(error).__name__)
                await self._sleep(pause)
                pause = min(pause * 2, _PAUSE_MAX)
        finally:
            await self._client.aclose()

    async def _read(self, position: str) -> str:
        """Wait for notices, pass them on, and return where to read on."""
        async with asyncio.timeout(_SILENCE):
            answer: Any = await self._client.xread({CHANGES_KEY: position}, block=_BLOCK)
        if not answer:
            newest = await self._newest()
            if _order(newest) < _order(position):
                # The stream was lost, and numbers may begin anew: with the old position nothing would ever come.
                self._unknown()
                return newest
            return position
        [(_, notices)] = answer
        if len(notices) >= _KEPT:
            # As many as are kept at least: there may have been more.
            self._unknown()
        else:
            for _, fields in notices:
                self._pass_on(fields)
        return str(notices[-1][0])

    def _pass_on(self, fields: dict[str, str]) -> None:
        try:
            scope = check_path(fields["scope"])
        except Exception:  # noqa: BLE001 - from a newer version, or from anybody: what it says is not understood
            self._unknown()
            return
        self._changed(Change(scope=scope, trust=fields.get("trust") == "1"))

    async def _newest(self) -> str:
        """The number of the newest notice."""
        async with asyncio.timeout(_SILENCE):
            newest: Any = await self._client.xrevrange(CHANGES_KEY, count=1)
        return str(newest[0][0]) if newest else "0-0"


def _order(number: str) -> tuple[int, int]:
    """A number of the stream, such as `1764104400000-0`, as what it is compared by."""
    time, _, sequence = number.partition("-")
    return int(time), int(sequence)
