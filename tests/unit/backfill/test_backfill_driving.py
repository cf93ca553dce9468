"""The life of a driver: how long it goes on, and what it does while the broker is away."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis

from tests.support import ManualClock
from workers.backfill.driver import Driver, Step
from workers.backfill.driving import Stopped, drive
from workers.backfill.state import Fenced, Orders, Phase, Rewound

RUNNING = Orders(phase=Phase.RUNNING, window=10)


@dataclass
class FakeDriver:
    """Does in each step what it is told to."""

    steps: Iterator[Step | Exception]
    clock: ManualClock
    beginning: float = 0.0
    recovered: int = 0
    sums: dict[str, int] = field(default_factory=dict)

    def recover(self) -> None:
        self.recovered += 1
        self.clock.seconds += self.beginning

    def step(self) -> Step:
        step = next(self.steps)
        if isinstance(step, Exception):
            raise step
        return step


@dataclass
class Life:
    clock: ManualClock = field(default_factory=ManualClock)
    waits: list[float] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    stop_after: int = 1_000

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.clock.seconds += seconds
        return len(self.waits) >= self.stop_after

    def drive(self, driver: FakeDriver, *, seconds: float | None = None) -> Stopped:
        return drive(
            cast("Driver", driver),
            wait=self.wait,
            away=lambda error: self.away.append(type(error).__name__),
            monotonic=self.clock.monotonic,
            seconds=seconds,
        )


def step(**changes: Any) -> Step:
    return Step(**({"orders": RUNNING} | changes))


def forever(one: Step) -> Iterator[Step | Exception]:
    while True:
        yield one


def test_it_goes_on_until_all_is_done_and_looks_less_often_while_nothing_happens() -> None:
    life = Life()
    busy, idle = step(idle=False), step()
    driver = FakeDriver(iter([busy, idle, idle, idle, busy, idle, step(over=True)]), life.clock)

    assert life.drive(driver) is Stopped.OVER
    assert driver.recovered == 1
    assert life.waits == [0.05, 0.1, 0.2, 0.4, 0.05, 0.1]

    life.waits.clear()
    assert life.drive(FakeDriver(iter([*[idle] * 20, step(over=True)]), life.clock)) is Stopped.OVER
    assert max(life.waits) == 1


def test_it_stops_when_it_is_paused_or_told_to() -> None:
    life = Life(stop_after=3)
    paused = step(orders=Orders(phase=Phase.PAUSED, window=10))

    assert life.drive(FakeDriver(iter([step(), paused]), life.clock)) is Stopped.PAUSED
    assert life.drive(FakeDriver(forever(step()), life.clock)) is Stopped.ASKED
    assert len(life.waits) == 3


def test_while_the_broker_is_away_it_waits_and_then_begins_where_the_broker_is() -> None:
    life = Life()
    errors = [
        redis.ConnectionError("gone"),
        redis.TimeoutError("slow"),
        Rewound("archive"),
        redis.OutOfMemoryError("full"),
    ]
    driver = FakeDriver(iter([step(), *errors, step(), step(over=True)]), life.clock)

    assert life.drive(driver) is Stopped.OVER
    assert driver.recovered == 1 + len(errors)
    assert life.away == ["ConnectionError", "TimeoutError", "Rewound", "OutOfMemoryError"]


def test_one_that_was_followed_does_not_try_again() -> None:
    life = Life()

    with pytest.raises(Fenced):
        life.drive(FakeDriver(iter([Fenced("archive")]), life.clock))


def test_a_slice_ends_in_time_but_not_before_it_was_worth_beginning() -> None:
    life = Life()
    life.drive(FakeDriver(forever(step()), life.clock), seconds=20)
    assert 20 <= life.clock.seconds < 22

    slow = Life()
    slow.drive(FakeDriver(forever(step()), slow.clock, beginning=10), seconds=20)
    assert 60 <= slow.clock.seconds < 62
