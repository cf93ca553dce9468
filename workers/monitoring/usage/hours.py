"""The hourly sums of the ledger, as pages and metrics take them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import redis

from workers.ledger import DIMENSIONS, hour_key
from workers.monitoring.usage.sums import NONE, Combination, Sums, Table

#: Hours that are asked for in one round trip.
_AT_ONCE = 24
#: Where the ledger says it otherwise than here.
_SUMS = {"cost_pico": "cost"}


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
    # Many fields share their dimensions, and reading these is what takes the time.
    known: dict[bytes, Sums] = {}
    for field, amount in fields.items():
        dimensions, _, name = field.rpartition(b"]")
        sums = known.get(dimensions)
        if sums is None:
            sums = known[dimensions] = table.setdefault(_combination(dimensions + b"]"), Sums())
        attribute = name.decode()
        setattr(sums, _SUMS.get(attribute, attribute), int(amount))
    return table


def _combination(text: bytes) -> Combination:
    values = dict(zip(DIMENSIONS, json.loads(text), strict=False))
    return Combination(*(values.get(name) or NONE for name in Combination._fields))
