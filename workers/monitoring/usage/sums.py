"""What is summed of attempts in one hour, and where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

#: Stands where a record has no value.
NONE = "-"


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


#: The sums of one span of time.
Table = Mapping[Combination, Sums]


class HourlyUsage(Protocol):
    """Where the sums of hours come from."""

    def read(self, hours: Sequence[datetime]) -> list[Table]:
        """The sums of hours, each given by its beginning (UTC), in the order asked for.

        Raises:
            redis.RedisError: they cannot be read.
        """


class MemoryHours:
    """Hours in a dictionary; for tests."""

    def __init__(self, hours: Mapping[datetime, Table] | None = None) -> None:
        self.hours = dict(hours or {})
        #: What was asked for, in order.
        self.asked: list[datetime] = []

    def read(self, hours: Sequence[datetime]) -> list[Table]:
        """The sums of hours."""
        self.asked += hours
        return [self.hours.get(hour, {}) for hour in hours]
