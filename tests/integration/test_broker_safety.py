"""No job is lost and none runs twice for no reason, on real workers and a real Valkey."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tasks.contract import ENTRY_QUEUE
from tests.integration.support.broker import Bench, bench_on, wait_until
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(valkey, tmp_path) as bench:
        yield bench


def publish_many(bench: Bench, count: int) -> set[str]:
    names = {f"p{number}" for number in range(count)}
    with bench.app.producer_pool.acquire(block=True) as producer, cast("Any", producer).batch(500):
        for name in names:
            bench.app.send_task("test.record", args=[{"project": name}], producer=producer)
    return names


def test_workers_killed_at_any_moment_lose_nothing(bench: Bench) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    names = publish_many(bench, 3_000)

    for kill in range(1, 4):
        worker = bench.start_worker(visibility=2, concurrency=20)
        moment = 600 * kill + chance.randrange(400)
        wait_until(lambda moment=moment: len(bench.counts("runs")) >= moment, bench.logs)  # type: ignore[misc]  # mypy cannot type a lambda's default
        worker.kill()
        worker.wait()
    bench.start_worker(visibility=2, concurrency=20)
    wait_until(bench.idle, bench.logs)

    runs = bench.counts("runs")
    assert runs.keys() == names
    # Only what a killed worker held ran again.
    assert sum(runs.values()) <= len(names) + 3 * 20


def test_jobs_longer_than_the_visibility_timeout_run_once_even_while_their_worker_stops(bench: Bench) -> None:
    stopping = bench.start_worker(visibility=1, concurrency=2)
    bench.send("test.hold", "a", seconds=4)
    bench.send("test.hold", "b", seconds=4)
    wait_until(lambda: bench.counts("runs").keys() == {"a", "b"}, bench.logs)
    bench.start_worker(visibility=1, concurrency=4)
    bench.app.send_task("test.record", args=[{"project": "later"}], countdown=3)

    stopping.send_signal(signal.SIGTERM)

    wait_until(bench.idle, bench.logs)
    assert stopping.wait(timeout=10) == 0
    assert bench.counts("runs") == {"a": 1, "b": 1, "later": 1}
    assert bench.counts("ended") == {"a": 1, "b": 1}


def test_a_stopped_worker_hands_back_at_once_what_it_did_not_begin(bench: Bench) -> None:
    worker = bench.start_worker("--prefetch-multiplier", "4", concurrency=1)
    bench.send("test.hold", "running", seconds=1)
    wait_until(lambda: "running" in bench.counts("runs"), bench.logs)
    waiting = [bench.send("test.record", f"p{number}") for number in range(3)]
    wait_until(lambda: bench.client.hlen("byom.unacked") == 4, bench.logs)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=10) == 0
    assert bench.counts("ended") == {"running": 1}
    assert bench.client.llen(ENTRY_QUEUE) == len(waiting)
    assert not bench.client.exists("byom.unacked", "byom.unacked_index")


def test_a_lost_connection_interrupts_no_job_and_repeats_none(bench: Bench) -> None:
    bench.start_worker(visibility=2)
    for name in ("a", "b"):
        bench.send("test.hold", name, seconds=4)
    wait_until(lambda: len(bench.counts("runs")) == 2, bench.logs)

    bench.client.client_kill_filter(_type="normal", skipme=True)
    bench.send("test.record", "after")

    wait_until(lambda: "after" in bench.counts("runs"), bench.logs)
    wait_until(bench.idle, bench.logs)
    assert bench.counts("runs") == {"a": 1, "b": 1, "after": 1}
    assert bench.counts("ended") == {"a": 1, "b": 1}


def test_a_broker_restart_loses_nothing_and_repeats_no_running_job(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path / "data") as valkey, bench_on(valkey, tmp_path) as bench:
        bench.start_worker(visibility=3, concurrency=8)
        bench.send("test.hold", "long", seconds=6)
        wait_until(lambda: "long" in bench.counts("runs"), bench.logs)
        names = publish_many(bench, 1_000)
        wait_until(lambda: len(bench.counts("runs")) > 200, bench.logs)

        valkey.restart()

        wait_until(lambda: bench.counts("runs").keys() == names | {"long"}, bench.logs)
        wait_until(bench.idle, bench.logs)
        assert bench.counts("runs")["long"] == bench.counts("ended")["long"] == 1


def test_a_broker_that_forgot_the_scripts_makes_no_difference(bench: Bench) -> None:
    bench.start_worker()
    for name in ("a", "b", "c"):
        bench.client.script_flush()
        bench.send("test.record", name)
        wait_until(lambda name=name: name in bench.counts("runs"), bench.logs)  # type: ignore[misc]  # as above

    wait_until(bench.idle, bench.logs)
    assert bench.counts("runs") == {"a": 1, "b": 1, "c": 1}
