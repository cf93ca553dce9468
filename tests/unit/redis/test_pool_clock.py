"""All workers date by the broker's clock, whatever their own machines show."""

from collections import Counter
from datetime import UTC, datetime

import pytest
import redis

from workers.redis.pool_clock import PoolClock, synchronised

#: The broker's time when a test begins.
TRUTH = datetime(2026, 11, 26, 3, 0, tzinfo=UTC).timestamp()


class Machine:
    """One whose clock is off by so many seconds, and where time passes when a test says so."""

    def __init__(self, off: float) -> None:
        self.up = 1_000.0
        self.off = off
        self.broker_off = 0.0
        self.clock = PoolClock(system=lambda: self.truth + self.off, monotonic=lambda: self.up)

    @property
    def truth(self) -> float:
        return TRUTH + self.up - 1_000.0

    def ask(self, *, there: float = 0.001, back: float = 0.001) -> None:
        """Ask the broker; question and answer take so many seconds."""
        asked = self.up
        self.up += there
        told = self.truth + self.broker_off
        self.up += back
        self.clock.heard((int(told), round(told % 1 * 1e6)), asked=asked)

    @property
    def error(self) -> float:
        """Seconds that its clock of the pool is ahead of the broker's."""
        return self.clock.now().timestamp() - self.truth - self.broker_off


@pytest.mark.parametrize("off", [0.0, 600.0, -600.0, 86_400.0])
def test_a_machine_whose_clock_is_off_dates_as_all_others_do(off: float) -> None:
    machine = Machine(off)
    assert machine.error == pytest.approx(off, abs=1e-3)

    machine.ask()
    machine.up += 3_600

    assert machine.error == pytest.approx(0, abs=1e-3)
    assert machine.clock.monotonic() == machine.up


def test_a_clock_that_is_set_while_a_worker_runs_changes_nothing() -> None:
    machine = Machine(0)
    machine.ask()

    machine.off = -900

    assert machine.error == pytest.approx(0, abs=1e-3)


def test_an_answer_that_took_long_does_not_spoil_what_is_known_better() -> None:
    machine = Machine(0)
    machine.ask()

    machine.ask(there=0.0, back=4.0)

    assert machine.error == pytest.approx(0, abs=5e-3)


def test_the_first_answer_is_better_than_none_however_long_it_took() -> None:
    machine = Machine(600)

    machine.ask(there=0.0, back=4.0)

    assert abs(machine.error) <= 2.001


def test_what_is_known_grows_old() -> None:
    machine = Machine(0)
    machine.ask(there=0.0, back=0.2)
    assert abs(machine.error) > 0.05

    # As doubtful as before, and newer.
    machine.up += 3_600
    machine.ask(there=0.1, back=0.1)

    assert machine.error == pytest.approx(0, abs=1e-3)


def test_another_server_with_another_time_is_followed_at_once() -> None:
    machine = Machine(0)
    machine.ask()

    machine.broker_off = -30
    machine.ask(there=0.5, back=0.5)

    assert machine.error == pytest.approx(0, abs=0.5)


def test_the_broker_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that began while the broker was away dated its first jobs by its own machine."""
    asked: Counter[str] = Counter()
    waits: list[float] = []

    def ask(_client: redis.Redis) -> tuple[int, int]:
        asked["time"] += 1
        if asked["time"] < 4:
            raise redis.ConnectionError
        return int(TRUTH), 0

    monkeypatch.setattr(redis.Redis, "time", ask)

    clock = synchronised("redis://127.0.0.1:1/0", wait=waits.append)

    assert clock.now().timestamp() == pytest.approx(TRUTH, abs=30)
    assert len(waits) == 3


def test_a_broker_that_stays_away_keeps_no_process_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_client: redis.Redis) -> tuple[int, int]:
        raise redis.TimeoutError

    monkeypatch.setattr(redis.Redis, "time", away)
    waits: list[float] = []

    clock = synchronised("redis://127.0.0.1:1/0", wait=waits.append)

    assert clock.now().timestamp() == pytest.approx(datetime.now(UTC).timestamp(), abs=30)
    assert len(waits) == 10
