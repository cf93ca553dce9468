"""The hourly sums of the ledger, as pages and metrics take them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import redis

from workers.ledger.sums import STORED, hour_key
from workers.monitoring.usage.sums import NONE, Combination, Sums, Table

#: Hours that are asked for in one round trip.
_AT_ONCE = 24
#: Where the parts of a combination stand in what is stored.
_PLACES = tuple(STORED.index(name) for name in Combination._fields)


#: Pico-USD in one micro-USD.
_MICRO = 10**6
#: Combinations that are remembered; they are the same in nearly every hour, and reading them takes most of the time.
_REMEMBERED = 100_000
#: Micro-USD, pico-USD below that, and the others.
_STORED_SUMS = len(Sums.__slots__) + 1


class RedisHours:
    """Reads the hashes that `workers/jobs/settle.lua` writes, one per hour."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._known: dict[bytes, Combination] = {}

    def read(self, hours: Sequence[datetime]) -> list[Table]:
        """The sums of hours, in the order asked for."""
        tables: list[Table] = []
        for first in range(0, len(hours), _AT_ONCE):
            with self._client.pipeline(transaction=False) as pipeline:
                for hour in hours[first : first + _AT_ONCE]:
                    pipeline.hgetall(hour_key(hour))
                tables += map(self._table, pipeline.execute())
        return tables

    def _table(self, fields: Mapping[bytes, bytes]) -> Table:
        table: dict[Combination, Sums] = {}
        for field, text in fields.items():
            combination, sums = self._known.get(field) or self._combination(field), _sums(text)
            # What is told apart only by what pages do not show falls together.
            there = table.get(combination)
            if there is None:
                table[combination] = sums
            else:
                there.add(sums)
        return table

    def _combination(self, field: bytes) -> Combination:
        if len(self._known) >= _REMEMBERED:
            # A new one: another thread may be looking into the old one.
            self._known = {}
        values = json.loads(field)
        # Older workers stored fewer.
        values += [None] * (len(STORED) - len(values))
        found = self._known[field] = Combination(*(values[place] or NONE for place in _PLACES))
        return found


def _sums(text: bytes) -> Sums:
    """What `Amounts.pack` wrote or `settle.lua` added up; what newer workers sum beyond this is left out."""
    micro, pico, *others = map(int, text.split()[:_STORED_SUMS])
    return Sums(micro * _MICRO + pico, *others)
