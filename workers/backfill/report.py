"""What there is to say of a backfill: as JSON for programs, and the few figures that people ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from workers.backfill.lines import ENDS, done, usage_of, usd
from workers.backfill.state.base import Phase, Snapshot

_CODE = "code:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A backfill at one moment."""

    snapshot: Snapshot
    now: datetime

    @property
    def sums(self) -> Mapping[str, int]:
        """What was summed up."""
        return self.snapshot.sums

    @property
    def done(self) -> int:
        """Lines that are done."""
        return done(self.sums)

    @property
    def spent(self) -> Decimal:
        """In USD, as far as prices are known."""
        return usd(self.sums.get("pico", 0))

    @property
    def good(self) -> bool:
        """Whether every line became memories."""
        return not any(self.sums.get(word) for word in ("partial", "failed", "cancelled", "invalid"))

    @property
    def state(self) -> str:
        """In one word what is going on."""
        snapshot = self.snapshot
        match snapshot.orders.phase:
            case Phase.RUNNING if snapshot.driver is None:
                return "waiting for a worker" if snapshot.orders.cluster else "stopped"
            case Phase.CANCELLED if not snapshot.over:
                return "cancelling"
        return snapshot.orders.phase.value

    @property
    def failures(self) -> Mapping[str, int]:
        """Lines that failed, by their code; most first."""
        found = {name.removeprefix(_CODE): count for name, count in self.sums.items() if name.startswith(_CODE)}
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        snapshot, definition = self.snapshot, self.snapshot.definition
        until = snapshot.ended_at or self.now
        return {
            "backfill": definition.name,
            "project": definition.project,
            "state": self.state,
            "why": snapshot.orders.why or None,
            "source": definition.source,
            "out": definition.out,
            "ordered": definition.ordered,
            "window": snapshot.orders.window,
            "budget_usd": None if snapshot.orders.budget is None else format(snapshot.orders.budget, "f"),
            "on_cluster": snapshot.orders.cluster,
            "driver": snapshot.driver,
            "lines": definition.lines,
            "read": self.sums.get("lines", 0),
            "done": self.done,
            "in_flight": snapshot.in_flight,
            "ended_not_written": snapshot.waiting,
            **{word: self.sums.get(word, 0) for word in (*ENDS, "duplicates", "fallbacks", "rerun")},
            "failures": dict(self.failures),
            "usage": usage_of(self.sums).model_dump(mode="json", exclude_none=True),
            "jobs_without_price": self.sums.get("unpriced", 0),
            "created_at": definition.created_at.isoformat(),
            "ended_at": None if snapshot.ended_at is None else snapshot.ended_at.isoformat(),
            "seconds": round((until - definition.created_at).total_seconds(), 3),
        }
