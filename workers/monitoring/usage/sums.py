"""What is summed of attempts in one hour, and where it comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar


class Combination(NamedTuple):
    """Whose attempts, and of what; the dimensions that tables are made by."""

    account: str
    project: str
    provider: str
    model: str
    role: str
    connection: str
    credential_version: str
    priority: str


class FailedKind(NamedTuple):
    """Why attempts failed, what was done about them, and whose they were."""

    #: A failure code.
    status: str
    action: str
    of: Combination


@dataclass(slots=True)
class Sums:
    """Sums over attempts, in the order in which the ledger stores them.

    Changed in place: a page adds up tens of thousands of these.
    """

    #: What is known, in pico-USD; `unpriced` says whether that is all.
    cost: int = 0
    attempts: int = 0
    #: Attempts that did not yield an answer.
    failed: int = 0
    #: Attempts that used tokens at an unknown price: their cost is missing, not zero.
    unpriced: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    #: The part of `output` that was reasoning.
    reasoning: int = 0
    #: Milliseconds of all calls together, and of all waits in lanes before them.
    latency_ms: int = 0
    queue_wait_ms: int = 0

    def add(self, other: "Sums") -> None:
        """Add others' sums to these."""
        self.attempts += other.attempts
        self.failed += other.failed
        self.unpriced += other.unpriced
        self.cost += other.cost
        self.input += other.input
        self.cached_input += other.cached_input
        self.cache_write += other.cache_write
        self.output += other.output
        self.reasoning += other.reasoning
        self.latency_ms += other.latency_ms
        self.queue_wait_ms += other.queue_wait_ms

    def less(self, other: "Sums") -> "Sums":
        """What these have more than others."""
        return Sums(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    @property
    def tokens(self) -> int:
        """All tokens, each counted once."""
        return self.input + self.cached_input + self.cache_write + self.output


#: What sums are told apart by.
Kind = TypeVar("Kind")

#: The sums of one span of time.
Table = Mapping[Combination, Sums]


class Hourly(Protocol[Kind]):
    """Where the sums of hours come from. All of it raises `redis.RedisError` when they cannot be read."""

    def read(self, hours: Sequence[datetime]) -> list[Mapping[Kind, Sums]]:
        """The sums of hours, each given by its beginning (UTC), in the order asked for."""

    def total(self, hours: Sequence[datetime]) -> Mapping[Kind, Sums]:
        """The same added up, which takes less time than to read them one by one."""


#: All attempts.
HourlyUsage = Hourly[Combination]


def added_up(tables: Iterable[Mapping[Kind, Sums]]) -> Mapping[Kind, Sums]:
    """The sums of several spans of time together."""
    total: dict[Kind, Sums] = {}
    for table in tables:
        for kind, sums in table.items():
            there = total.get(kind)
            if there is None:
                there = total[kind] = Sums()
            there.add(sums)
    return total


class MemoryHours(Generic[Kind]):
    """Hours in a dictionary; for tests."""

    def __init__(self, hours: Mapping[datetime, Mapping[Kind, Sums]] | None = None) -> None:
        self.hours = dict(hours or {})
        #: What was asked for, in order.
        self.asked: list[datetime] = []

    def read(self, hours: Sequence[datetime]) -> list[Mapping[Kind, Sums]]:
        """The sums of hours."""
        self.asked += hours
        return [self.hours.get(hour, {}) for hour in hours]

    def total(self, hours: Sequence[datetime]) -> Mapping[Kind, Sums]:
        """The same added up."""
        return added_up(self.read(hours))
