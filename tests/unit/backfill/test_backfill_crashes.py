"""Whatever is the last thing that a driver does before it dies: after the next one, every entry is in the sink once."""

import copy
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contract import ExtractionJob, JobStatus
from tests.backfill import FakePublisher, FakeResults, ListSink, ListSource, definition, entry, success, text_of
from tests.support import ManualClock
from workers.backfill.driver import Driver
from workers.backfill.entries import BadLine, Entry
from workers.backfill.lines import done
from workers.backfill.ports import Answer, Known, NoRoom, Published
from workers.backfill.state import (
    BackfillState,
    MemoryBackfills,
    Orders,
    Phase,
    Rewound,
    Snapshot,
)

EFFECTS = {"reserve", "published", "put", "commit", "finish", "change"}


class Crash(Exception):
    """The driver died."""


@dataclass
class Effects:
    """Counts effects down to the one that is the driver's last."""

    left: int | None = None
    done: int = 0

    def happened(self) -> None:
        self.done += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash


class DyingState:
    """A state whose driver may die after anything that it writes."""

    def __init__(self, state: BackfillState, effects: Effects) -> None:
        self._state = state
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._state, name)
        if name not in EFFECTS:
            return method

        def call(*args: Any, **options: Any) -> Any:
            answer = method(*args, **options)
            self._effects.happened()
            return answer

        return call


@dataclass
class World:
    """What outlives a driver: the file, the state, the broker, the workers, the sink."""

    lines: Sequence[Entry | BadLine]
    ordered: bool
    dice: random.Random
    window: int
    clock: ManualClock = field(default_factory=ManualClock)
    effects: Effects = field(default_factory=Effects)
    broker: FakePublisher = field(default_factory=FakePublisher)
    results: FakeResults = field(default_factory=FakeResults)
    sink: ListSink = field(default_factory=ListSink)
    told: int = 0
    #: Jobs that workers called for, and how often.
    calls: Counter[str] = field(default_factory=Counter)
    endings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.backfills = MemoryBackfills(clock=self.clock)
        orders = Orders(phase=Phase.RUNNING, window=self.window)
        self.state = self.backfills.create(definition(ordered=self.ordered), orders=orders)

    # As the driver's publisher and sink: each message and each row may be the last.

    def publish(self, jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        answers: list[Answer] = []
        for job in jobs:
            if self.dice.random() < 0.1:
                answers.append(NoRoom())
                continue
            answers += self.broker.publish([job])
            self.effects.happened()
        return answers

    def end(self, job_ids: Sequence[str], failure: Any) -> Sequence[str]:
        raise AssertionError(f"nothing was cancelled: {job_ids}, {failure}")

    def append(self, rows: Any) -> None:
        for row in rows:
            self.sink.rows.append(row)
            self.effects.happened()

    def sync(self) -> str:
        return self.sink.sync()

    def open(self, position: str) -> None:
        self.sink.open(position)

    def finish(self) -> str:
        return self.sink.finish()

    def close(self) -> None:
        self.sink.close()

    def completed(self, snapshot: Snapshot) -> None:
        assert not snapshot.in_flight
        self.told += 1
        self.effects.happened()

    def work(self, jobs: int) -> None:
        """Workers take some messages, in any order; a job that has ended is not called for again."""
        for _ in range(min(jobs, len(self.broker.sent))):
            job_id = self.broker.sent.pop(self.dice.randrange(len(self.broker.sent)))
            if job_id not in self.endings:
                self.calls[job_id] += 1
                self.endings[job_id] = text_of(success(job_id))
            # Some ways to end know nothing of the inbox.
            if self.dice.random() < 0.9:
                self.state.put(job_id, self.endings[job_id])
            self.results.known[job_id] = self.endings[job_id]

    def drive(self, steps: int | None = None) -> bool:
        """A driver's life; whether all is done."""
        self.clock.seconds += 100
        lease = self.state.acquire(f"driver {self.clock.seconds}", seconds=15)
        driver = Driver(
            DyingState(self.backfills.open("archive"), self.effects),
            lease,
            source=ListSource(self.lines),
            publisher=self,
            results=self.results,
            sink=self,
            clock=self.clock,
            completed=self.completed,
            forgotten_after=86_400,
            batch=4,
        )
        try:
            driver.recover()
            for _ in range(1_000 if steps is None else steps):
                if driver.step().over:
                    return True
                assert driver.in_flight <= self.window
                self.clock.seconds += 1
                self.work(self.dice.randrange(4))
        except Crash:
            self.effects.left = None
        if steps is None:
            raise AssertionError("it comes to no end")
        return False

    def check(self) -> None:
        """Each entry once, and each line that is none; all sums as they should be."""
        first: dict[str, int] = {}
        for line in self.lines:
            first.setdefault(line.id if isinstance(line, Entry) else f"bad {line.number}", line.number)
        written = [row["line"] for row in self.sink.rows]
        assert sorted(written) == sorted(first.values())
        if self.ordered:
            assert written == sorted(written)
        sums = self.state.load().sums
        good = sum(not name.startswith("bad ") for name in first)
        assert sums.get("succeeded", 0) == sums.get("jobs", 0) == good
        assert sums.get("lines", 0) == done(sums) == len(self.lines)
        assert sums.get("duplicates", 0) == len(self.lines) - len(first)
        assert set(self.calls.values()) <= {1}
        assert self.told >= 1
        assert self.state.load().orders.phase is Phase.COMPLETED


def lines_of(contents: Sequence[int | None]) -> list[Entry | BadLine]:
    """Line by line: a text that may come again, or None where there is no job."""
    return [
        BadLine(number=number, problems=["not JSON"]) if content is None else entry(number, f"text {content}")
        for number, content in enumerate(contents, start=1)
    ]


FILES = st.lists(st.none() | st.integers(0, 9), max_size=14)


@settings(max_examples=150, deadline=None)
@given(
    contents=FILES,
    ordered=st.booleans(),
    window=st.integers(1, 6),
    crashes=st.lists(st.integers(0, 25), max_size=5),
    seed=st.integers(0, 2**32),
)
def test_every_entry_is_in_the_sink_once_wherever_drivers_die(
    contents: list[int | None], *, ordered: bool, window: int, crashes: list[int], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    world = World(lines=lines_of(contents), ordered=ordered, dice=dice, window=window)

    over = False
    for effects in crashes:
        world.effects.left = effects
        if over := world.drive(steps=1_000):
            break
        world.work(dice.randrange(6))
    if not over:
        world.effects.left = None
        world.drive()

    world.check()


def test_every_effect_of_a_run_may_be_the_last() -> None:
    def world() -> World:
        dice = random.Random(7)  # noqa: S311 - a test's dice
        return World(lines=lines_of([1, None, 2, 1, 3, 4, 5, 6, 7, 8]), ordered=False, dice=dice, window=5)

    whole = world()
    whole.drive()
    assert whole.effects.done > 30
    for last in range(whole.effects.done):
        broken = world()
        broken.effects.left = last
        assert broken.drive(steps=1_000) is False
        broken.drive()
        broken.check()


@settings(max_examples=60, deadline=None)
@given(contents=FILES, ordered=st.booleans(), steps=st.lists(st.integers(0, 6), max_size=4), seed=st.integers(0, 2**32))
def test_a_broker_that_loses_its_last_second_makes_no_line_twice(
    contents: list[int | None], *, ordered: bool, steps: list[int], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    world = World(lines=lines_of(contents), ordered=ordered, dice=dice, window=5)
    lease = world.state.acquire("me", seconds=10**9)
    state = world.backfills.open("archive")
    driver = Driver(
        state,
        lease,
        source=ListSource(world.lines),
        publisher=world,
        results=world.results,
        sink=world,
        clock=world.clock,
        completed=world.completed,
        forgotten_after=86_400,
        batch=4,
    )
    driver.recover()

    def go(count: int) -> bool:
        for _ in range(count):
            try:
                if driver.step().over:
                    return True
            except Rewound:
                driver.recover()
            world.clock.seconds += 1
            world.work(dice.randrange(4))
        return False

    over = False
    for count in steps:
        # All of the broker as it was a moment ago: the state, and the messages. Not what workers and driver know.
        kept = copy.deepcopy((world.backfills._kept, world.broker.sent, world.results.known, world.endings))
        if over := go(count):
            break
        state._all.clear()
        state._all.update(kept[0])
        world.broker.sent, world.results.known, world.endings = kept[1:]
    if not over:
        assert go(1_000)

    # What was lost of the broker may have been called for again; the sink knows it once.
    world.calls.clear()
    world.check()


def test_a_job_that_another_key_ran_before_is_in_the_sink_as_known() -> None:
    world = World(lines=lines_of([1, 2]), ordered=False, dice=random.Random(1), window=5)  # noqa: S311 - as above
    answers: Mapping[int, Answer] = {1: Known("earlier"), 2: Published()}

    def publish(jobs: Sequence[tuple[str, ExtractionJob]]) -> Sequence[Answer]:
        made = [answers[int(job.episodes[0].id.removeprefix("e"))] for _, job in jobs]
        world.broker.sent += [job_id for (job_id, _), answer in zip(jobs, made, strict=True) if answer == Published()]
        return made

    world.publish = publish  # type: ignore[method-assign]
    world.drive()

    found = {row["line"]: (row["status"], row["result"].get("duplicate_of")) for row in world.sink.rows}
    assert found == {1: (JobStatus.DUPLICATE, "earlier"), 2: (JobStatus.SUCCEEDED, None)}
    assert world.state.load().sums["known"] == 1
