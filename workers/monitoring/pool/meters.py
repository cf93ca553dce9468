"""Meters as a page shows them. A meter is what a vendor meters: a credential and a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

#: `/byom/projects/acme/credentials/main#gpt-6-luna`, with `@project` behind it where a project has bounds of its own.
#: A server without keys has `connections` in place of `credentials`.
_METER = re.compile(
    r"/byom/(?P<level>projects|accounts)/(?P<owner>[^/]+)/(?P<kind>credentials|connections)/(?P<name>[^#]+)"
    r"#(?P<model>.+?)(?:@(?P<project>[A-Za-z0-9][A-Za-z0-9._-]*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterName:
    """What the name of a meter says."""

    #: Whom the credential belongs to: one of the two.
    account: str | None
    project: str | None
    #: None for a server without keys, which `connection` names then.
    credential: str | None
    connection: str | None
    model: str

    @classmethod
    def parse(cls, meter: str) -> "MeterName | None":
        """Read a name as `EffectiveConnection.key` gives it; None when it is something else."""
        found = _METER.fullmatch(meter)
        if found is None:
            return None
        of_account, keyed = found["level"] == "accounts", found["kind"] == "credentials"
        return cls(
            account=found["owner"] if of_account else None,
            project=found["project"] if of_account else found["owner"],
            credential=found["name"] if keyed else None,
            connection=None if keyed else found["name"],
            model=found["model"],
        )


#: The share of a declared limit that is as good as all of it.
_AS_DECLARED = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a meter; amounts are tokens or requests."""

    #: `tokens`, `output tokens` or `requests`.
    name: str
    #: What may be taken at once, and what comes back in a minute, as declared.
    capacity: float
    per_minute: float
    #: The same as the vendor's answers showed it; never more than declared.
    learned_capacity: float
    learned_per_minute: float
    #: What can be taken now; below zero it is a debt.
    level: float

    @property
    def used(self) -> float:
        """The share of what may be taken at once that is taken, from 0 to 1."""
        if self.learned_capacity <= 0:
            return 1.0
        return min(1.0, max(0.0, 1 - self.level / self.learned_capacity))

    @property
    def is_learned(self) -> bool:
        """Whether the vendor showed less than was declared; a little of the capacity is never used anyway."""
        return self.learned_per_minute < self.per_minute * _AS_DECLARED


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """A meter as it stands."""

    tenant: str
    meter: str
    limits: Sequence[Limit] = ()
    in_flight: int = 0
    max_concurrency: int | None = None
    #: `closed`, `open` or `half_open`; since when, and why it is not closed.
    breaker: str = "closed"
    breaker_since: datetime | None = None
    breaker_code: str | None = None
    #: Until when nobody is admitted, and why.
    blocked_until: datetime | None = None
    blocked_by: str | None = None


class MeterBoard(Protocol):
    """Where readings come from."""

    def readings(self) -> Sequence[MeterReading]:
        """All meters that are in use.

        Raises:
            redis.RedisError: they cannot be read.
        """


class MemoryMeters:
    """Readings in a list; for tests."""

    def __init__(self, readings: Sequence[MeterReading] = ()) -> None:
        self._readings = list(readings)

    def readings(self) -> Sequence[MeterReading]:
        """All of them."""
        return list(self._readings)
