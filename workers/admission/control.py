"""What operators see and say of meters, from outside of any call. Synchronous: commands use it."""

from collections.abc import Callable, Sequence

import redis

from config.connections import EffectiveConnection
from workers.admission.budget import day_of
from workers.admission.declared import Declared
from workers.admission.keys import keys_of
from workers.admission.redis import script
from workers.admission.state import Figures, MeterState, meter_state
from workers.admission.terms import Terms

#: Meters that are read in one round trip.
_AT_ONCE = 200


class Meters:
    """The meters of one Redis. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(self, client: redis.Redis, *, now: Callable[[], float] | None = None) -> None:
        """Prepare; `now` replaces the server's clock, in seconds since 1970, for tests."""
        self._client = client
        self._read = client.register_script(script("read"))
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

    def read(self, links: Sequence[EffectiveConnection]) -> list[MeterState]:
        """How the meters of connections stand, in their order."""
        day = day_of(self._client.time()[0] if self._now is None else self._now())
        states: list[MeterState] = []
        for first in range(0, len(links), _AT_ONCE):
            some = [(link, Terms.of(link, day)) for link in links[first : first + _AT_ONCE]]
            with self._client.pipeline(transaction=False) as pipeline:
                for _, terms in some:
                    self._read(keys=list(terms.keys), args=[self._given_now()], client=pipeline)
                answers = pipeline.execute()
            for (link, terms), (*books, spent) in zip(some, answers, strict=True):
                spends = zip(terms.spends, map(int, spent), strict=True)
                states.append(meter_state(link.key, Figures.of(books), spends=spends))
        return states

    def _say(self, effective: EffectiveConnection, *words: str) -> None:
        self._hold(keys=list(keys_of(effective)), args=[self._given_now(), *words])

    def _given_now(self) -> str:
        return "" if self._now is None else format(self._now(), ".17g")
