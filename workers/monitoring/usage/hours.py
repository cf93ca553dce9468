"""The hourly sums of the ledger, as pages and metrics take them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import redis

from workers.ledger.amounts import Amounts
from workers.ledger.sums import STORED, hour_key
from workers.monitoring.usage.sums import NONE, Combination, Sums, Table

#: Hours that are asked for in one round trip.
_AT_ONCE = 24
#: Where the parts of a combination stand in what is stored.
_PLACES = tuple(STORED.index(name) for name in Combination._fields)


class RedisHours:
    """Reads the hashes that `workers/jobs/settle.lua` writes, one per hour."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self, hours: Sequence[datetime]) -> list[Table]:
        """The sums of hours, in the order asked for."""
        tables: list[Table] = []
        for first in range(0, len(hours), _AT_ONCE):
            with self._client.pipeline(transaction=False) as pipeline:
                for hour in hours[first : first + _AT_ONCE]:
                    pipeline.hgetall(hour_key(hour))
                tables += map(_table, pipeline.execute())
        return tables


def _table(fields: Mapping[bytes, bytes]) -> Table:
    table: dict[Combination, Sums] = {}
    for field, text in fields.items():
        combination, sums = _combination(field), _sums(Amounts.unpack(text))
        # What is told apart only by what pages do not show falls together.
        there = table.get(combination)
        if there is None:
            table[combination] = sums
        else:
            there.add(sums)
    return table


def _combination(field: bytes) -> Combination:
    values = json.loads(field)
    # Older workers stored fewer.
    values += [None] * (len(STORED) - len(values))
    return Combination(*(values[place] or NONE for place in _PLACES))


def _sums(amounts: Amounts) -> Sums:
    return Sums(
        attempts=amounts.attempts,
        failed=amounts.failed,
        unpriced=amounts.unpriced,
        cost=amounts.cost_pico,
        input=amounts.input,
        cached_input=amounts.cached_input,
        cache_write=amounts.cache_write,
        output=amounts.output,
        reasoning=amounts.reasoning,
        latency_ms=amounts.latency_ms,
        queue_wait_ms=amounts.queue_wait_ms,
    )
