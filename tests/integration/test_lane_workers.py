"""Lanes with real worker processes: waiting costs no worker anything, and nobody else any time."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.integration.support.broker import LANES, Bench, bench_on, wait_until
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Lanes, Which
from workers.lanes.emptying import Taken, empty_lanes

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(valkey, tmp_path) as bench:
        yield bench


def lane_of(project: str, **fields: Any) -> dict[str, Any]:
    header = {
        "meter": f"/keys/{project}#m",
        "tenant": f"p/{project}",
        "project": project,
        "connection": "primary",
        "priority": "live",
        "input": 1_000,
        "calls": 1,
        "patience": 3_600.0,
        "fallback": False,
    }
    return {"byom": {**header, **fields}}


def send(bench: Bench, task: str, project: str, *, job: dict[str, Any] | None = None, **options: Any) -> Any:
    """Publish one job to its lane."""
    job = {"project": project, **(job or {})}
    return bench.app.send_task(task, args=[job], headers=lane_of(project), queue=LANES, **options)


def limit(bench: Bench, project: str, *, jobs_per_minute: int) -> None:
    """Declare a limit of tokens that so many jobs use up, and let the meter be full."""
    limits: dict[Any, Any] = {"tpm_capacity": 1_000 * jobs_per_minute, "tpm_refill": 1_000 * jobs_per_minute / 60}
    bench.client.hset(f"byom:{{p/{project}}}:meter:/keys/{project}#m", mapping=limits)


def seconds_of_twenty(bench: Bench) -> float:
    """How long twenty jobs of another project take."""
    before = bench.counts("runs").get("quick", 0)
    began = time.monotonic()
    for _ in range(20):
        send(bench, "test.record", "quick")
    wait_until(lambda: bench.counts("runs").get("quick", 0) == before + 20, bench.logs)
    return time.monotonic() - began


def told(bench: Bench, project: str) -> list[Any]:
    return [json.loads(text) for text in cast("list[bytes]", bench.client.lrange(f"test.told:{project}", 0, -1))]


def test_a_parked_job_comes_back_and_runs_under_its_id_with_its_callbacks(bench: Bench) -> None:
    bench.start_worker()
    callback = bench.app.signature("test.park", args=[{"project": "callback", "times": 0}], immutable=True)

    result = send(bench, "test.park", "acme", job={"times": 2, "seconds": 0.1}, link=callback)

    assert result.get(timeout=20) == result.id
    wait_until(lambda: bench.counts("runs") == {"acme": 3, "callback": 1}, bench.logs)
    wait_until(bench.idle, bench.logs)
    first, *_, last = deliveries = told(bench, "acme")
    assert {(one["impatient"], one["redelivered"]) for one in deliveries} == {(False, False)}
    assert first["since"] == last["since"]
    assert first["reservation"].startswith("fetch:")
    assert told(bench, "callback") == [None]
    assert "Parked" not in bench.logs()


def test_ten_thousand_jobs_that_wait_for_their_meter_are_in_nobodys_way(bench: Bench) -> None:
    limit(bench, "slow", jobs_per_minute=10)
    bench.start_worker(concurrency=4)
    lanes = Lanes(bench.client)
    alone = seconds_of_twenty(bench)
    with bench.app.producer_pool.acquire(block=True) as producer, cast("Any", producer).batch(500):
        for _ in range(10_000):
            send(bench, "test.record", "slow", producer=producer)
    wait_until(lambda: bench.counts("runs").get("slow", 0) >= 5, bench.logs)

    beside = min(seconds_of_twenty(bench) for _ in range(3))

    # On a machine that is busy with other things twenty jobs may take longer than a second in any case.
    assert beside < max(1, 3 * alone)
    inspect = bench.app.control.inspect(timeout=10, destination=["w0@test"])
    assert (inspect.active(), inspect.reserved(), inspect.scheduled()) == (
        {"w0@test": []},
        {"w0@test": []},
        {"w0@test": []},
    )
    assert not bench.client.exists("byom.unacked")
    assert lanes.waiting("slow") == 10_000 - bench.counts("runs")["slow"] >= 9_900


def test_a_worker_killed_while_jobs_wait_and_are_parked_loses_nothing(bench: Bench) -> None:
    worker = bench.start_worker(visibility=2, concurrency=2)
    names = {f"p{number}" for number in range(6)}
    for name in names:
        send(bench, "test.park", name, job={"times": 1, "seconds": 60})
    send(bench, "test.hold", "held", job={"seconds": 60})
    # One that has not run yet waits in its lane as well, and would be in the dying worker's hands.
    wait_until(lambda: bench.counts("runs") == dict.fromkeys([*names, "held"], 1), bench.logs)
    lanes = Lanes(bench.client)
    all_wait = dict.fromkeys(names, 1)
    wait_until(lambda: {name: lanes.waiting(name) for name in names} == all_wait, bench.logs)

    worker.kill()
    worker.wait()
    lanes.pause(project="held")
    bench.start_worker(visibility=2)

    wait_until(lambda: lanes.waiting("held") == 1, bench.logs)
    assert {name: lanes.waiting(name) for name in names} == all_wait
    lanes.wake()
    wait_until(lambda: bench.counts("runs") == {**dict.fromkeys(names, 2), "held": 1}, bench.logs)
    wait_until(bench.idle, bench.logs)


def test_a_stopped_worker_hands_its_jobs_back_to_their_lanes(bench: Bench) -> None:
    worker = bench.start_worker("--prefetch-multiplier", "4", concurrency=1)
    send(bench, "test.hold", "running", job={"seconds": 1})
    wait_until(lambda: "running" in bench.counts("runs"), bench.logs)
    for _ in range(3):
        send(bench, "test.record", "waiting")
    wait_until(lambda: bench.client.hlen("byom.unacked") == 4, bench.logs)

    worker.terminate()

    assert worker.wait(timeout=10) == 0
    assert bench.counts("ended") == {"running": 1}
    assert Lanes(bench.client).waiting("waiting") == 3
    assert bench.idle()


def test_lanes_are_emptied_by_whoever_ends_the_jobs_and_a_failing_handler_loses_none(bench: Bench) -> None:
    for number in range(5):
        send(bench, "test.record", "acme", task_id=f"j{number}")
    send(bench, "test.record", "other")
    ended: list[Any] = []

    def handle(taken: Taken) -> None:
        if len(ended) == 3:
            raise RuntimeError("no more")
        ended.append(taken.headers["id"])

    with pytest.raises(RuntimeError, match="no more"):
        empty_lanes(bench.client, Which(project="acme"), handle)
    lanes = Lanes(bench.client)
    assert (ended, lanes.waiting("acme")) == (["j0", "j1", "j2"], 2)
    assert bench.idle()

    assert empty_lanes(bench.client, Which(project="acme"), lambda taken: ended.append(taken.headers["id"])) == 2
    assert ended == [f"j{number}" for number in range(5)]
    assert (lanes.waiting("acme"), lanes.waiting("other")) == (0, 1)
