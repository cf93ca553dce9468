"""Meters, lanes and usage put together: how each connection fares. Pure.

A meter's name tells whose credential it is and which model; the ledger tells which connections of which projects called
that model, with which version of the credential. Where a project has several connections of one model, on several
credentials, all of them are named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from workers.lanes.views import LaneView
from workers.ledger.rows import NONE
from workers.monitoring.pool.meters import MeterName, MeterReading
from workers.monitoring.usage.book import Slice
from workers.monitoring.usage.sums import Combination, Sums

#: Failed attempts of all that make a connection look ill, and attempts that it takes to say so.
_FAILING_SHARE = 0.2
_ENOUGH = 5


class State(StrEnum):
    """How a connection fares, worst first."""

    #: Its breaker is open, or one call is trying it.
    OPEN = "open"
    #: Somebody or the vendor said to wait.
    HELD = "held back"
    FAILING = "failing"
    #: Jobs wait for its limits.
    BUSY = "jobs wait"
    OK = "ok"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """One line of the page: a meter, and what is known around it."""

    reading: MeterReading
    name: MeterName
    providers: Sequence[str]
    projects: Sequence[str]
    connections: Sequence[str]
    #: Of the last day, and of the hour that is under way and the one before: what is long over is no illness any more.
    sums: Sums
    lately: Sums
    #: Version of the credential that was used last, and when it was first used as far as is known.
    credential_version: str | None
    credential_since: datetime | None
    #: Whether it may have been used before that, too.
    credential_older: bool
    #: Jobs in its lanes, and seconds that the oldest of them waits.
    depth: int
    oldest_age: float

    @property
    def state(self) -> State:
        """How it fares."""
        reading, sums = self.reading, self.sums
        if reading.breaker != "closed":
            return State.OPEN
        if reading.blocked_by is not None:
            return State.HELD
        lately = self.lately
        if lately.attempts >= _ENOUGH and lately.failed / lately.attempts >= _FAILING_SHARE:
            return State.FAILING
        if self.depth:
            return State.BUSY
        return State.OK if sums.attempts or reading.in_flight else State.IDLE


@dataclass(slots=True)
class _Used:
    """What the ledger knows of a model at one owner."""

    providers: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    connections: set[str] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)
    lately: Sums = field(default_factory=Sums)
    #: Version → when it was first and last used.
    versions: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def add(
        self, combination: Combination, span: tuple[datetime, datetime], sums: Sums | None, lately: Sums | None
    ) -> None:
        """Add what is known of one combination: when it was first and last used, and what counts of it."""
        self.providers.add(combination.provider)
        self.projects.add(combination.project)
        if combination.connection != NONE:
            self.connections.add(combination.connection)
        if combination.credential_version != NONE:
            first, last = self.versions.get(combination.credential_version, span)
            self.versions[combination.credential_version] = min(first, span[0]), max(last, span[1])
        if sums is not None:
            self.sums.add(sums)
        if lately is not None:
            self.lately.add(lately)


#: Level (`account` or `project`), its name, and the model.
_Owner = tuple[str, str, str]


def connection_rows(
    readings: Iterable[MeterReading],
    lanes: Iterable[LaneView],
    usage: Iterable[Slice[Combination]],
    *,
    since: datetime,
    lately: datetime,
) -> list[ConnectionRow]:
    """All connections, those in trouble first.

    Args:
        readings: meters.
        lanes: what waits.
        usage: as far back as it is at hand, to tell since when a credential is used.
        since: from when on attempts are counted.
        lately: from when on they tell how a connection fares.
    """
    slices = list(usage)
    used = _used(slices, since=since, lately=lately)
    begin = min((part.start for part in slices), default=since)
    waiting: dict[tuple[str, str], list[LaneView]] = {}
    for lane in lanes:
        waiting.setdefault((lane.tenant, lane.meter), []).append(lane)
    rows = []
    for reading in readings:
        name = MeterName.parse(reading.meter)
        if name is not None:
            rows.append(_row(reading, name, waiting.get((reading.tenant, reading.meter), []), used, begin))
    order = {state: place for place, state in enumerate(State)}
    return sorted(rows, key=lambda row: (order[row.state], -row.depth, -row.sums.attempts, row.reading.meter))


def _row(
    reading: MeterReading, name: MeterName, lanes: Sequence[LaneView], used: Mapping[_Owner, _Used], begin: datetime
) -> ConnectionRow:
    # A project with bounds of its own on its account's credential is the project's business.
    owner = ("project", name.project, name.model) if name.project else ("account", name.account or "", name.model)
    of_owner = used.get(owner) or _Used()
    versions = of_owner.versions if name.credential else {}
    version = max(versions, key=lambda number: (versions[number][1], _number(number)), default=None)
    connections = {name.connection} if name.connection else of_owner.connections or {lane.connection for lane in lanes}
    return ConnectionRow(
        reading=reading,
        name=name,
        providers=sorted(of_owner.providers),
        projects=sorted(of_owner.projects | {lane.project for lane in lanes}),
        connections=sorted(connections),
        sums=of_owner.sums,
        lately=of_owner.lately,
        credential_version=version,
        credential_since=versions[version][0] if version else None,
        credential_older=bool(version) and versions[version or ""][0] == begin,
        depth=sum(lane.depth for lane in lanes),
        oldest_age=max((lane.oldest_age for lane in lanes), default=0.0),
    )


def _used(slices: Iterable[Slice[Combination]], *, since: datetime, lately: datetime) -> dict[_Owner, _Used]:
    # By combination first: there are many slices, and the same combinations in each.
    spans: dict[Combination, tuple[datetime, datetime]] = {}
    counted: dict[Combination, Sums] = {}
    late: dict[Combination, Sums] = {}
    for part in slices:
        start = part.start
        for combination in part.table:
            span = spans.get(combination)
            spans[combination] = (start, start) if span is None else (min(span[0], start), max(span[1], start))
        if start >= since:
            for combination, sums in part.table.items():
                counted.setdefault(combination, Sums()).add(sums)
                if start >= lately:
                    late.setdefault(combination, Sums()).add(sums)
    found: dict[_Owner, _Used] = {}
    for combination, span in spans.items():
        for level, owner in (("project", combination.project), ("account", combination.account)):
            used = found.setdefault((level, owner, combination.model), _Used())
            used.add(combination, span, counted.get(combination), late.get(combination))
    return found


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
