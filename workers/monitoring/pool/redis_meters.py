"""Meters on Redis or Valkey.

They are found by their keys and not by the store, so that Flower needs no access to where connections and credentials
are kept. A meter is there from its first call on, and forgotten a month after its last.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence

import redis

from workers.admission.keys import meter_keys
from workers.admission.redis import script
from workers.admission.state import Figures, MeterState, meter_state
from workers.monitoring.pool.meters import Limit, MeterReading

#: Names of meters as keys of their state.
_PATTERN = "byom:{*}:meter:*"
_KEY = re.compile(r"byom:\{(?P<tenant>[^}]+)\}:meter:(?P<meter>.+)", re.DOTALL)
#: Seconds that the list of meters is trusted at least and at most, and how many times as long as it took to make: to
#: find them, the server walks over all its keys.
_LEAST, _MOST, _TIMES = 1.0, 60.0, 50
#: Keys that one step of that looks at, and meters that are read in one round trip.
_STEP, _AT_ONCE = 1_000, 200


class RedisMeters:
    """All meters of one Redis. A meter board."""

    def __init__(self, client: redis.Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._read = client.register_script(script("read"))
        self._names: Sequence[tuple[str, str]] = ()
        self._trusted_until = float("-inf")

    def readings(self) -> Sequence[MeterReading]:
        """All meters that are in use."""
        names = self._known()
        readings: list[MeterReading] = []
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            with self._client.pipeline(transaction=False) as pipeline:
                for tenant, meter in some:
                    self._read(keys=meter_keys(tenant, meter), args=[""], client=pipeline)
                answers = pipeline.execute()
            readings += [
                _reading(tenant, meter_state(meter, Figures.of(answer)))
                for (tenant, meter), answer in zip(some, answers, strict=True)
            ]
        return readings

    def _known(self) -> Sequence[tuple[str, str]]:
        """Tenants and meters, found anew after a while."""
        began = self._monotonic()
        if began >= self._trusted_until:
            self._names = sorted(set(self._find()))
            ended = self._monotonic()
            self._trusted_until = ended + min(_MOST, max(_LEAST, (ended - began) * _TIMES))
        return self._names

    def _find(self) -> Iterator[tuple[str, str]]:
        for key in self._client.scan_iter(match=_PATTERN, count=_STEP, _type="hash"):
            found = _KEY.fullmatch(key.decode(errors="replace"))
            if found is not None:
                yield found["tenant"], found["meter"]


def _reading(tenant: str, state: MeterState) -> MeterReading:
    """What admission says of a meter, as Flower shows it."""
    buckets = {"tokens": state.tokens, "output tokens": state.output_tokens, "requests": state.requests}
    return MeterReading(
        tenant=tenant,
        meter=state.meter,
        limits=[
            Limit(
                name=name,
                capacity=bucket.capacity,
                per_minute=bucket.per_minute,
                level=bucket.level,
                learned_capacity=bucket.learned_capacity,
                learned_per_minute=bucket.learned_per_minute,
            )
            for name, bucket in buckets.items()
            if bucket is not None
        ],
        in_flight=state.in_flight,
        max_concurrency=state.max_concurrency,
        breaker=state.breaker.value,
        breaker_since=state.breaker_since,
        breaker_code=state.breaker_code.value if state.breaker_code else None,
        blocked_until=state.blocked_until,
        blocked_by=state.blocked_by.value if state.blocked_by else None,
    )
