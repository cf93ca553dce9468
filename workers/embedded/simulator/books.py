"""What the simulator served, to whom: the vendor's side of every bill."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from workers.embedded.simulator.exchange import Usage
from workers.embedded.simulator.meter import MeterReport

#: Entries kept at most; totals go on counting.
KEEP = 200_000


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request. Keys appear as fingerprints only; texts do not appear."""

    #: Unix time of arrival.
    time: float
    #: Which vendor's wire format: the mount's name, such as `openai`.
    vendor: str
    path: str
    key: str | None = None
    model: str | None = None
    #: HTTP status, or None when the connection was broken instead.
    status: int | None = None
    #: Whether a model ran: then `usage` is billed.
    served: bool = False
    #: Whether the response was handed to the connection completely; the caller may have gone by then.
    delivered: bool = False
    usage: Usage = field(default_factory=Usage)
    #: The cheaper tier that it was served at, and is billed at: `flex` or `batch`.
    tier: str | None = None
    request_id: str = ""
    #: Whether the vendor would keep the answer.
    stored: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    #: Kind of the fault that was injected.
    fault: str | None = None
    #: Why there was no answer.
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Total:
    """Sums over the requests of one key and model at one tier."""

    key: str | None
    model: str | None
    #: As in `Entry`.
    tier: str | None = None
    requests: int = 0
    served: int = 0
    #: Served and handed over completely.
    delivered: int = 0
    #: HTTP status → requests; 0 stands for a broken connection.
    statuses: dict[int, int] = field(default_factory=dict)
    #: Tokens of all served requests.
    billed: Usage = field(default_factory=Usage)
    #: Tokens of those that were also delivered.
    received: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksReport:
    """The books as they stand."""

    totals: list[Total]
    meters: list[MeterReport]
    #: The latest requests, oldest first.
    entries: list[Entry]

    @property
    def billed(self) -> Usage:
        """Tokens of all served requests."""
        return sum((total.billed for total in self.totals), Usage())

    @property
    def received(self) -> Usage:
        """Tokens of all requests that were served and delivered."""
        return sum((total.received for total in self.totals), Usage())

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(total.requests for total in self.totals)

    @property
    def served(self) -> int:
        """Requests for which a model ran."""
        return sum(total.served for total in self.totals)

    @property
    def statuses(self) -> dict[int, int]:
        """HTTP status → requests; 0 stands for a broken connection."""
        counts: Counter[int] = Counter()
        for total in self.totals:
            counts.update(total.statuses)
        return dict(counts)


class Books:
    """Every request, and totals by key, model and tier."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEEP)
        self._totals: dict[tuple[str | None, str | None, str | None], Total] = {}

    def write(self, entry: Entry) -> None:
        """Book a request whose outcome is decided; `deliver` follows when the response is out."""
        self._entries.append(entry)
        place = (entry.key, entry.model, entry.tier)
        total = self._totals.get(place)
        if total is None:
            total = self._totals[place] = Total(key=entry.key, model=entry.model, tier=entry.tier)
        total.requests += 1
        status = entry.status or 0
        total.statuses[status] = total.statuses.get(status, 0) + 1
        if entry.served:
            total.served += 1
            total.billed += entry.usage

    def deliver(self, entry: Entry) -> None:
        """Book that the response of a request was handed over completely."""
        entry.delivered = True
        total = self._totals.get((entry.key, entry.model, entry.tier))
        if entry.served and total is not None:
            total.delivered += 1
            total.received += entry.usage

    def report(self, meters: Iterable[MeterReport], *, entries: int) -> BooksReport:
        """The books as they stand, with at most so many of the latest entries."""
        start = max(0, len(self._entries) - entries)
        return BooksReport(
            totals=[replace(total, statuses=dict(total.statuses)) for total in self._totals.values()],
            meters=list(meters),
            entries=[replace(entry) for entry in islice(self._entries, start, None)],
        )

    def reset(self) -> None:
        """Start new books."""
        self._entries.clear()
        self._totals.clear()
