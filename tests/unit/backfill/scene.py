"""A driver in a world of a test's own making."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.backfill import FakePublisher, FakeResults, ListSink, ListSource, definition, entry, success, text_of
from tests.support import ManualClock
from workers.backfill.definition import job_id_of
from workers.backfill.driver import Driver, Step
from workers.backfill.entries import BadLine, Entry
from workers.backfill.state import BackfillState, MemoryBackfills, Orders, Phase, Snapshot
from workers.jobs import Ending

DAY = 86_400.0


@dataclass
class Scene:
    lines: Sequence[Entry | BadLine]
    window: int = 100
    budget: Decimal | None = None
    batch: int = 10
    fields: dict[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    broker: FakePublisher = field(default_factory=FakePublisher)
    results: FakeResults = field(default_factory=FakeResults)
    sink: ListSink = field(default_factory=ListSink)
    told: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        backfills = MemoryBackfills(clock=self.clock)
        orders = Orders(phase=Phase.RUNNING, window=self.window, budget=self.budget)
        self.state: BackfillState = backfills.create(definition(**self.fields), orders=orders)
        self.backfills = backfills

    def driver(self, name: str = "me") -> Driver:
        driver = Driver(
            self.state,
            self.state.acquire(name, seconds=15),
            source=ListSource(self.lines),
            publisher=self.broker,
            results=self.results,
            sink=self.sink,
            clock=self.clock,
            completed=self.told.append,
            forgotten_after=DAY,
            batch=self.batch,
        )
        driver.recover()
        return driver

    def end(self, *numbers: int, ending: Ending | None = None) -> None:
        """Workers end the jobs of these lines."""
        for number in numbers:
            self.state.put(self.job(number), text_of(ending or success(self.job(number))))

    def job(self, number: int) -> str:
        line = next(line for line in self.lines if line.number == number)
        return job_id_of("archive", [line.id if isinstance(line, Entry) else f"line {number}"])

    def written(self) -> list[int]:
        return [row["line"] for row in self.sink.rows]

    def why(self) -> str:
        return self.state.load().orders.why


def entries(count: int) -> list[Entry]:
    return [entry(number) for number in range(1, count + 1)]


def until_idle(driver: Driver) -> Step:
    for _ in range(1_000):
        step = driver.step()
        if step.idle or step.over:
            return step
    raise AssertionError("it comes to no rest")
