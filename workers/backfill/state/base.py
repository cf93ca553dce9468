"""The interface of a backfill's state.

Whatever crashes, driver, worker or broker: what is noted here says where to go on. So lines are noted as in flight
before they are published, and as done after they are in the sink.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from workers.backfill.definition import Definition
from workers.backfill.errors import BackfillError


class UnknownBackfill(BackfillError):
    """No backfill has this name."""

    def __init__(self, name: str) -> None:
        # As it was given: errors are made anew from it in another process.
        super().__init__(name)

    def __str__(self) -> str:
        return f"no backfill is called '{self.args[0]}'; `byom backfill list` shows those that are"


class NameTaken(BackfillError):
    """A backfill has this name already."""


class Held(BackfillError):
    """Another process drives the backfill."""

    def __init__(self, name: str, driver: str, seconds: float) -> None:
        super().__init__(name, driver, seconds)
        self.driver = driver
        self.seconds = seconds

    def __str__(self) -> str:
        name = self.args[0]
        return (
            f"backfill '{name}' is driven by {self.driver}, and by one at a time. Should that have died, it is free in "
            f"{self.seconds:.0f} s; `byom backfill pause {name}` makes it stop"
        )


class Fenced(BackfillError):
    """Another process took over: this one may not go on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def __str__(self) -> str:
        return f"another process drives backfill '{self.args[0]}' now; this one stops. Nothing is done twice"


class Rewound(BackfillError):
    """The broker has lost what was noted last, as it may when it crashes: go on from what it has."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def __str__(self) -> str:
        return f"the broker has lost what was noted last of backfill '{self.args[0]}'; it goes on from what is there"


class Phase(StrEnum):
    """What is wanted of a backfill."""

    RUNNING = "running"
    PAUSED = "paused"
    #: Nothing new is begun; what is in flight is ended, too.
    CANCELLED = "cancelled"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRef:
    """A line of the file."""

    number: int
    #: Of its entry; empty when the line is no job.
    id: str
    episode_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A job in flight: its lines were read, and are not in the sink yet."""

    job_id: str
    lines: tuple[LineRef, ...]
    #: When it was taken in hand, in seconds since 1970.
    since: float
    #: Whether it is known to be with the broker.
    published: bool = False
    #: Whether it may be there more than once.
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Leave to drive. A later one has a larger token, and ends this one."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What is wanted of whoever drives."""

    phase: Phase
    why: str = ""
    #: In USD; None: unlimited.
    budget: Decimal | None = None
    #: Lines in flight at most.
    window: int
    #: Whether workers drive it.
    cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known of a backfill at one moment."""

    definition: Definition
    orders: Orders
    #: The last line that was taken in hand.
    read: int = 0
    #: Jobs in flight, and those of them that have ended.
    in_flight: int = 0
    waiting: int = 0
    #: Sums, by what is summed; see `workers.backfill.lines`.
    sums: Mapping[str, int] = field(default_factory=dict)
    #: How far the sink is written, in its own words; empty: not begun.
    sink: str = ""
    #: Who drives.
    driver: str | None = None
    #: When the phase changed last.
    changed_at: datetime
    #: When all was wound up.
    ended_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended_at is not None


class BackfillState(Protocol):
    """The state of one backfill.

    What only a driver may do takes its lease, and raises `Fenced` for an old one, and `Rewound` when the state is not
    as this object knew it: then it is to be loaded again.
    """

    def load(self) -> Snapshot:
        """All of it. A driver loads it before it writes.

        Raises:
            UnknownBackfill: there is none of this name.
        """

    def change(
        self,
        phase: Phase,
        *,
        why: str = "",
        after: Sequence[Phase],
        budget: Decimal | None = None,
        no_budget: bool = False,
        window: int | None = None,
        cluster: bool | None = None,
    ) -> Phase:
        """Say what is wanted, from anywhere; the phase before. Nothing changes unless that is one of `after`.

        Args:
            phase: from now on.
            why: for people.
            after: phases that this may follow.
            budget: a new one, in USD; None leaves it.
            no_budget: take it away.
            window: a new one; None leaves it.
            cluster: whether workers drive it from now on; None leaves it.

        Raises:
            UnknownBackfill: there is none of this name.
        """

    def acquire(self, driver: str, *, seconds: float) -> Lease:
        """Begin to drive, for so many seconds unless it is renewed.

        Raises:
            Held: another does.
            UnknownBackfill: there is none of this name.
        """

    def renew(self, lease: Lease) -> Orders:
        """Go on driving, and hear what is wanted."""

    def release(self, lease: Lease) -> None:
        """Stop driving; no error if that was over."""

    def wanted(self) -> bytes:
        """The lines that are to be done, as bits; empty: all."""

    def flights(self) -> list[Flight]:
        """The jobs in flight, in the order of their lines."""

    def unseen(self, ids: Sequence[str]) -> list[bool]:
        """Which entries were not taken in hand before."""

    def reserve(self, lease: Lease, flights: Sequence[Flight], *, read: int, sums: Mapping[str, int]) -> None:
        """Take lines in hand, before anything of them is published; or once more, to run them again.

        Args:
            lease: of the driver.
            flights: jobs of these lines.
            read: the last line that was looked at.
            sums: to be added.
        """

    def published(self, lease: Lease, job_ids: Sequence[str]) -> None:
        """Note that jobs are with the broker."""

    def put(self, job_id: str, ending: str) -> bool:
        """Take in how a job ended, as JSON of an `Ending`; False if it is not in flight, or known."""

    def ended(self, limit: int) -> list[tuple[str, str]]:
        """Jobs in flight that have ended, and how; those that ended first."""

    def endings_of(self, job_ids: Sequence[str]) -> list[str | None]:
        """How these jobs ended; None for those that have not."""

    def commit(self, lease: Lease, job_ids: Sequence[str], *, sink: str, sums: Mapping[str, int]) -> None:
        """Note that jobs are done and in the sink.

        Args:
            lease: of the driver.
            job_ids: these jobs.
            sink: how far the sink is written.
            sums: to be added.
        """

    def finish(self, lease: Lease, *, sink: str) -> None:
        """Wind up: all that was taken in hand is done. A backfill that was not cancelled is then completed."""


class Backfills(Protocol):
    """All backfills of a pool."""

    def create(self, definition: Definition, *, orders: Orders, wanted: bytes = b"") -> BackfillState:
        """Note a new one down.

        Args:
            definition: what it is to do.
            orders: what is wanted of it at first.
            wanted: the lines that are to be done, as bits: line 1 is the second highest of the first byte. Empty: all.

        Raises:
            NameTaken: there is one of this name.
        """

    def open(self, name: str) -> BackfillState:
        """One of them; whether it is there shows when it is used."""

    def all(self) -> list[Snapshot]:
        """All that are kept, the newest first."""
