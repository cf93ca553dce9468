"""The hourly sums of the ledger, as pages and metrics take them."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Generic

import redis

from workers.ledger.rows import NONE
from workers.ledger.sums import CAUSE, STORED, failed_key, hour_key
from workers.monitoring.usage.sums import Combination, FailedKind, Kind, Sums
from workers.redis.lua import lua

#: Hours that are asked for in one round trip.
_AT_ONCE = 24
#: Where the parts of a combination stand in what is stored.
_PLACES = tuple(STORED.index(name) for name in Combination._fields)


#: Pico-USD in one micro-USD.
_MICRO = 10**6
#: Kinds that are remembered; they are the same in nearly every hour, and reading them takes long.
_REMEMBERED = 100_000
#: Micro-USD, pico-USD below that, and the others.
_STORED_SUMS = len(Sums.__slots__) + 1


class _RedisSums(Generic[Kind]):
    """Reads hashes that `workers/jobs/settle.lua` writes, one per hour."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        key: Callable[[datetime], str],
        kind: Callable[[list[str | None]], Kind],
        added: Callable[[Sequence[bytes]], Sums],
    ) -> None:
        """Take where the hash of an hour is, what its fields speak of, and how what they hold is added up."""
        self._client = client
        self._key = key
        self._kind = kind
        self._added = added
        self._hour = lua("workers.monitoring.usage", "hour")
        self._known: dict[bytes, Kind] = {}

    def read(self, hours: Sequence[datetime]) -> list[Mapping[Kind, Sums]]:
        """The sums of hours, in the order asked for."""
        return [self._table(pairs) for pairs in self._pairs(hours)]

    def total(self, hours: Sequence[datetime]) -> Mapping[Kind, Sums]:
        """The same added up."""
        texts: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for pairs in self._pairs(hours):
            for field, text in pairs:
                texts[field].append(text)
        # What is told apart only by what pages do not show falls together.
        of_kinds: defaultdict[Kind, list[bytes]] = defaultdict(list)
        for field, found in texts.items():
            of_kinds[self._kind_of(field)] += found
        return {kind: self._added(found) for kind, found in of_kinds.items()}

    def _pairs(self, hours: Sequence[datetime]) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        """Field and sums, hour by hour."""
        for first in range(0, len(hours), _AT_ONCE):
            with self._client.pipeline(transaction=False) as pipeline:
                for hour in hours[first : first + _AT_ONCE]:
                    # As a script that only reads: whoever runs it needs no right to write.
                    pipeline.eval_ro(self._hour, 1, self._key(hour))
                replies: list[bytes] = pipeline.execute()
            for reply in replies:
                lines = reply.split(b"\n")
                yield zip(lines[::2], lines[1::2], strict=False)

    def _table(self, pairs: Iterator[tuple[bytes, bytes]]) -> Mapping[Kind, Sums]:
        table: dict[Kind, Sums] = {}
        for field, text in pairs:
            kind, sums = self._kind_of(field), self._added((text,))
            there = table.get(kind)
            if there is None:
                table[kind] = sums
            else:
                there.add(sums)
        return table

    def _kind_of(self, field: bytes) -> Kind:
        known = self._known.get(field)
        if known is not None:
            return known
        if len(self._known) >= _REMEMBERED:
            # A new one: another thread may be looking into the old one.
            self._known = {}
        found = self._known[field] = self._kind(json.loads(field))
        return found


class RedisHours(_RedisSums[Combination]):
    """All attempts."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client, key=hour_key, kind=_combination, added=_added)


class RedisFailures(_RedisSums[FailedKind]):
    """Attempts that failed, by cause; how many, and nothing else of them."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client, key=lambda hour: failed_key(hour_key(hour)), kind=_failed_kind, added=_counted)


def _combination(values: list[str | None]) -> Combination:
    # Older workers stored fewer.
    values = values + [None] * (len(STORED) - len(values))
    return Combination(*(values[place] or NONE for place in _PLACES))


def _failed_kind(values: list[str | None]) -> FailedKind:
    status, action = values[: len(CAUSE)]
    return FailedKind(status or NONE, action or NONE, _combination(values[len(CAUSE) :]))


def _sums(text: bytes) -> Sums:
    """What `Amounts.pack` wrote or `settle.lua` added up; what newer workers sum beyond this is left out."""
    micro, pico, *others = map(int, text.split()[:_STORED_SUMS])
    return Sums(micro * _MICRO + pico, *others)


def _added(texts: Sequence[bytes]) -> Sums:
    """The sum of many, column by column where all have the same."""
    if len(texts) == 1:
        return _sums(texts[0])
    if len({text.count(b" ") for text in texts}) == 1:
        numbers = list(map(int, b" ".join(texts).split()))
        width = len(numbers) // len(texts)
        micro, pico, *others = (sum(numbers[place::width]) for place in range(min(width, _STORED_SUMS)))
        return Sums(micro * _MICRO + pico, *others)
    total = Sums()
    for text in texts:
        total.add(_sums(text))
    return total


def _counted(texts: Sequence[bytes]) -> Sums:
    """How many attempts there are in many; most of the time that reading takes goes into numbers."""
    attempts = sum(int(text.split(b" ", 3)[2]) for text in texts)
    return Sums(attempts=attempts, failed=attempts)
