"""What operators say of meters, from outside of any call. Synchronous: commands use it."""

from collections.abc import Callable

import redis

from config.connections import EffectiveConnection
from workers.admission.declared import Declared
from workers.admission.keys import keys_of
from workers.admission.redis import script


class Meters:
    """The meters of one Redis. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(self, client: redis.Redis, *, now: Callable[[], float] | None = None) -> None:
        """Prepare; `now` replaces the server's clock, in seconds since 1970, for tests."""
        self._hold = client.register_script(script("hold", "declared"))
        self._now = now

    def declare(self, effective: EffectiveConnection) -> None:
        """Put limits that were just stored into force, on all workers at once.

        For a minute after that, limits that these replaced are not believed any more: a worker that has not read the
        configuration since may still name them.
        """
        self._say(effective, "declare", Declared.of(effective.connection).text())

    def trust(self, effective: EffectiveConnection) -> None:
        """What kept calls away may be mended: nothing is held back any more, and the breaker closes."""
        self._say(effective, "trust")

    def reset(self, effective: EffectiveConnection) -> None:
        """Forget what was learned of a meter, its breaker and what was held back; limits and levels stay."""
        self._say(effective, "reset")

    def _say(self, effective: EffectiveConnection, *words: str) -> None:
        now = "" if self._now is None else format(self._now(), ".17g")
        self._hold(keys=list(keys_of(effective)), args=[now, *words])
