"""A stuck worker is told from a busy one, from one that ends, and from one whose broker is away."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.support.pool import Pool, job, running_pool, wait_until
from workers.embedded.simulator import FaultRule, Injection
from workers.embedded.valkey import _free_port
from workers.health import Health, Part, judge
from workers.health.file import read_pulse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PATIENCE = 1.5
SLOTS = 2


class Asked:
    """A worker, and what it answers."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool, self.file, self.port = pool, folder / "health", _free_port()
        pool.extra |= {
            "BYOM_CONCURRENCY": str(SLOTS),
            "BYOM_HEALTH_FILE": str(self.file),
            "BYOM_HEALTH_PATIENCE": str(PATIENCE),
            "BYOM_METRICS_PORT": str(self.port),
            "BYOM_SHUTDOWN_TIMEOUT": "60",
        }
        self.worker = pool.ready(pool.launch_worker("--include", "tests.integration.support.sticking"))

    def by_file(self) -> Health:
        return judge(read_pulse(self.file), now=time.monotonic())

    def by_http(self) -> tuple[int, int]:
        """Of liveness, and of readiness; zeros where nobody answers."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10) as client:
            try:
                return client.get("/healthz").status_code, client.get("/readyz").status_code
            except httpx.TransportError:
                return 0, 0

    def wait_until_it_is(self, *, live: bool, ready: bool) -> Health:
        """By both ways, and what it says by the file."""
        codes = (200 if live else 503, 200 if ready else 503)
        wait_until(lambda: self.by_http() == codes, seconds=60)
        wait_until(lambda: (self.by_file().live, self.by_file().ready) == (live, ready), seconds=60)
        return self.by_file()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with running_pool(tmp_path) as pool:
        yield Asked(pool, tmp_path)


def test_a_worker_that_stands_still_is_stuck_and_one_that_is_busy_or_ends_is_not(asked: Asked) -> None:
    asked.wait_until_it_is(live=True, ready=True)

    # Stuck in three ways, of which it recovers.
    for disturbance in (signal.SIGUSR1, signal.SIGUSR2):
        asked.worker.send_signal(disturbance)
    for what in ("the event loop", "Celery's consumer"):
        wait_until(lambda what=what: any(what in problem.what for problem in asked.by_file().problems), seconds=60)
    assert asked.by_http() == (503, 503)
    asked.wait_until_it_is(live=True, ready=True)
    asked.worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: any("not given time" in problem.what for problem in asked.by_file().problems), seconds=60)
    assert not asked.by_file().live
    asked.worker.send_signal(signal.SIGCONT)
    asked.wait_until_it_is(live=True, ready=True)

    # Busy: every slot is taken by a call that takes its time, and more jobs wait.
    asked.pool.simulator.add_fault(FaultRule(kind=Injection.HANG))
    with asked.pool.producer() as producer:
        for number in range(SLOTS + 1):
            producer.enqueue(job(f"Ada lives at number {number}."))
    wait_until(lambda: len(asked.pool.simulator.books().entries) >= SLOTS, seconds=60)
    full = time.monotonic()
    wait_until(lambda: min(read_pulse(asked.file).beats[part] for part in Part) > full + PATIENCE, seconds=60)
    asked.wait_until_it_is(live=True, ready=True)

    # Told to end with calls under way: live, and takes nothing new.
    asked.worker.terminate()
    seen = asked.wait_until_it_is(live=True, ready=False)
    assert seen.stage == "draining"
    still = time.monotonic()
    wait_until(lambda: read_pulse(asked.file).beats[Part.LOOP] > still + PATIENCE, seconds=60)
    asked.wait_until_it_is(live=True, ready=False)
    asked.worker.kill()


def test_a_worker_whose_broker_is_away_is_live_and_not_ready_from_its_start_on(asked: Asked) -> None:
    asked.wait_until_it_is(live=True, ready=True)

    asked.pool.valkey.stop()
    seen = asked.wait_until_it_is(live=True, ready=False)
    assert any("broker" in problem.what for problem in seen.problems)
    # For longer than a stuck one would be given.
    away = time.monotonic()
    wait_until(lambda: min(read_pulse(asked.file).beats[part] for part in Part) > away + PATIENCE, seconds=60)
    asked.wait_until_it_is(live=True, ready=False)

    # One that begins meanwhile says the same, and is not restarted for it.
    asked.worker.kill()
    asked.worker = asked.pool.launch_worker()
    seen = asked.wait_until_it_is(live=True, ready=False)
    assert seen.stage == "starting"
    asked.pool.valkey.start()
    asked.wait_until_it_is(live=True, ready=True)
