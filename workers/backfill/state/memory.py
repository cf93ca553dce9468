"""Backfills in memory: for unit tests, and the plainest statement of what the Lua does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from workers.backfill.definition import Definition
from workers.backfill.state.base import (
    Fenced,
    Flight,
    Held,
    Lease,
    NameTaken,
    Orders,
    Phase,
    Rewound,
    Snapshot,
    UnknownBackfill,
)
from workers.clock import Clock

_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True, kw_only=True)
class _Kept:
    definition: Definition
    orders: Orders
    changed_at: datetime
    wanted: bytes = b""
    read: int = 0
    sink: str = ""
    sums: Counter[str] = field(default_factory=Counter)
    flights: dict[str, Flight] = field(default_factory=dict)
    #: In the order in which they came.
    ended: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    driver: str | None = None
    until: datetime = _LONG_AGO
    token: int = 0
    writes: int = 0
    ended_at: datetime | None = None


class MemoryBackfills:
    """All backfills, in a dict; forgets nothing."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def create(self, definition: Definition, *, orders: Orders, wanted: bytes = b"") -> "MemoryState":
        """Note a new one down.

        Raises:
            NameTaken: there is one of this name.
        """
        if definition.name in self._kept:
            raise NameTaken(f"a backfill is called '{definition.name}' already")
        self._kept[definition.name] = _Kept(
            definition=definition, orders=orders, changed_at=_milliseconds(definition.created_at), wanted=wanted
        )
        return self.open(definition.name)

    def open(self, name: str) -> "MemoryState":
        """One of them; whether it is there shows when it is used."""
        return MemoryState(self._kept, name, clock=self._clock)

    def all(self) -> list[Snapshot]:
        """All that are kept, the newest first."""
        found = [self.open(name).load() for name in self._kept]
        return sorted(found, key=lambda one: one.definition.created_at, reverse=True)


class MemoryState:
    """The state of one backfill."""

    def __init__(self, kept: dict[str, _Kept], name: str, *, clock: Clock) -> None:
        self._all = kept
        self._name = name
        self._clock = clock
        self._writes = 0

    def load(self) -> Snapshot:
        """All of it. A driver loads it before it writes."""
        kept = self._kept()
        self._writes = kept.writes
        left = (kept.until - self._clock.now()).total_seconds()
        return Snapshot(
            definition=kept.definition,
            orders=kept.orders,
            read=kept.read,
            in_flight=len(kept.flights),
            waiting=len(kept.ended),
            sums=dict(kept.sums),
            sink=kept.sink,
            driver=kept.driver if left > 0 else None,
            changed_at=kept.changed_at,
            ended_at=kept.ended_at,
        )

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
        """Say what is wanted, from anywhere; the phase before. Nothing changes unless that is one of `after`."""
        kept = self._kept()
        before = kept.orders
        if before.phase in after:
            kept.orders = Orders(
                phase=phase,
                why=why,
                budget=None if no_budget else before.budget if budget is None else budget,
                window=before.window if window is None else window,
                cluster=before.cluster if cluster is None else cluster,
            )
            kept.changed_at = _milliseconds(self._clock.now())
        return before.phase

    def acquire(self, driver: str, *, seconds: float) -> Lease:
        """Begin to drive, for so many seconds unless it is renewed."""
        kept = self._kept()
        left = (kept.until - self._clock.now()).total_seconds()
        if kept.driver not in {None, driver} and left > 0:
            raise Held(self._name, str(kept.driver), left)
        kept.driver, kept.until = driver, self._clock.now() + timedelta(seconds=seconds)
        kept.token += 1
        return Lease(token=kept.token, seconds=seconds)

    def renew(self, lease: Lease) -> Orders:
        """Go on driving, and hear what is wanted."""
        kept = self._driven(lease)
        kept.until = self._clock.now() + timedelta(seconds=lease.seconds)
        return kept.orders

    def release(self, lease: Lease) -> None:
        """Stop driving; no error if that was over."""
        if (kept := self._kept()).token == lease.token:
            kept.driver = None

    def wanted(self) -> bytes:
        """The lines that are to be done, as bits; empty: all."""
        return self._kept().wanted

    def flights(self) -> list[Flight]:
        """The jobs in flight, in the order of their lines."""
        return sorted(self._kept().flights.values(), key=lambda flight: flight.lines[0].number)

    def unseen(self, ids: Sequence[str]) -> list[bool]:
        """Which entries were not taken in hand before."""
        return [entry not in self._kept().seen for entry in ids]

    def reserve(self, lease: Lease, flights: Sequence[Flight], *, read: int, sums: Mapping[str, int]) -> None:
        """Take lines in hand, before anything of them is published."""
        kept = self._writing(lease)
        kept.read = read
        kept.sums.update(sums)
        for flight in flights:
            kept.flights[flight.job_id] = replace(flight, published=False)
            kept.seen.update(line.id for line in flight.lines if line.id)

    def published(self, lease: Lease, job_ids: Sequence[str]) -> None:
        """Note that jobs are with the broker."""
        kept = self._writing(lease)
        for job_id in job_ids:
            if job_id in kept.flights:
                kept.flights[job_id] = replace(kept.flights[job_id], published=True)

    def put(self, job_id: str, ending: str) -> bool:
        """Take in how a job ended, as JSON of an `Ending`; False if it is not in flight, or known."""
        kept = self._kept()
        if job_id not in kept.flights or job_id in kept.ended:
            return False
        kept.ended[job_id] = ending
        return True

    def ended(self, limit: int) -> list[tuple[str, str]]:
        """Jobs in flight that have ended, and how; those that ended first."""
        return list(self._kept().ended.items())[:limit]

    def endings_of(self, job_ids: Sequence[str]) -> list[str | None]:
        """How these jobs ended; None for those that have not."""
        return [self._kept().ended.get(job_id) for job_id in job_ids]

    def commit(self, lease: Lease, job_ids: Sequence[str], *, sink: str, sums: Mapping[str, int]) -> None:
        """Note that jobs are done and in the sink."""
        kept = self._writing(lease)
        kept.sink = sink
        kept.sums.update(sums)
        for job_id in job_ids:
            kept.flights.pop(job_id, None)
            kept.ended.pop(job_id, None)

    def finish(self, lease: Lease, *, sink: str) -> None:
        """Wind up: all that was taken in hand is done. A backfill that was not cancelled is then completed."""
        kept = self._writing(lease)
        kept.sink = sink
        kept.ended_at = _milliseconds(self._clock.now())
        if kept.orders.phase is not Phase.CANCELLED:
            kept.orders = replace(kept.orders, phase=Phase.COMPLETED, why="")
            kept.changed_at = kept.ended_at
        kept.driver = None
        kept.flights.clear()
        kept.ended.clear()
        kept.seen.clear()
        kept.wanted = b""

    def _kept(self) -> _Kept:
        if self._name not in self._all:
            raise UnknownBackfill(self._name)
        return self._all[self._name]

    def _driven(self, lease: Lease) -> _Kept:
        kept = self._kept()
        if kept.token != lease.token:
            raise Fenced(self._name)
        if kept.writes != self._writes:
            raise Rewound(self._name)
        return kept

    def _writing(self, lease: Lease) -> _Kept:
        kept = self._driven(lease)
        kept.writes += 1
        self._writes = kept.writes
        return kept


def _milliseconds(moment: datetime) -> datetime:
    """As Redis keeps it."""
    return datetime.fromtimestamp(round(moment.timestamp() * 1000) / 1000, UTC)
