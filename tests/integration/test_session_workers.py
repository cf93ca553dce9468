"""Sessions on real workers: in order through kills, restarts, failures and fallbacks."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ExtractionResult, FailureCode
from tests.integration.support.broker import LANES, Bench, bench_on
from tests.integration.support.broker import wait_until as wait_for
from tests.integration.support.pool import Pool, job, running_pool, wait_until
from workers.app import create_app
from workers.embedded.simulator import FaultRule, Injection, Latency
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer
from workers.handles import wait
from workers.lanes.control import Lanes

pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

STEPS = 8


def steps(bench: Bench, project: str) -> list[str]:
    found = cast("list[bytes]", bench.client.lrange(f"test.steps:{project}", 0, -1))
    return [step.decode() for step in found]


def send_steps(bench: Bench, project: str) -> None:
    header = {
        "meter": f"/keys/{project}#m",
        "tenant": f"p/{project}",
        "project": project,
        "priority": "live",
        "input": 1_000,
        "calls": 1,
        "patience": 3_600.0,
        "session": "s",
    }
    for number in range(STEPS):
        bench.app.send_task(
            "test.step",
            args=[{"project": project, "number": number, "seconds": 0.15}],
            headers={"byom": header},
            queue=LANES,
        )


def assert_in_order(taken: Sequence[str]) -> None:
    """Each job begins after the one before it has ended, and that one never again; killed ones begin once more."""
    last, ended = -1, True
    for step in taken:
        word, _, number = step.partition(" ")
        if word == "begin" and int(number) == last + 1:
            assert ended, taken
            last, ended = int(number), False
        else:
            assert int(number) == last, taken
            ended = ended or word == "end"
    assert (last, ended) == (STEPS - 1, True), taken


def test_sessions_keep_their_order_through_kills_and_a_restart_of_the_broker(tmp_path: Path) -> None:
    projects = [f"p{number}" for number in range(5)]
    with EmbeddedValkey(data_dir=tmp_path / "data") as valkey, bench_on(valkey, tmp_path) as bench:
        worker = bench.start_worker(visibility=4, concurrency=8)
        for project in projects:
            send_steps(bench, project)

        def done(count: int) -> bool:
            return sum(len(steps(bench, project)) for project in projects) >= count

        for count in (12, 30):
            wait_for(lambda count=count: done(count), bench.logs)  # type: ignore[misc]  # mypy cannot type a lambda's default
            worker.kill()
            worker.wait()
            worker = bench.start_worker(visibility=4, concurrency=8)
        wait_for(lambda: done(45), bench.logs)
        valkey.restart()
        wait_for(lambda: not bench.client.exists("byom:lanes:members", "byom.unacked"), bench.logs, timeout=90)

        for project in projects:
            assert_in_order(steps(bench, project))
        left = {key.decode() for key in bench.client.scan_iter("byom:lanes:*")}
        assert not {key for key in left if "session" in key or "behind" in key}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    with running_pool(folder) as pool:
        pool.max_wait = 600
        pool.extra = {"BYOM_AUDIT_LOG": str(folder / "audit.jsonl"), "BYOM_ALLOW_PRIVATE_ENDPOINTS": "true"}
        pool.start_worker()
        yield pool


@pytest.fixture
def pool(running: Pool) -> Pool:
    running.simulator.reset()
    running.forget_meters()
    return running


@pytest.fixture
def producer(pool: Pool) -> Iterator[Producer]:
    with pool.producer() as producer:
        yield producer


@pytest.fixture
def lanes(pool: Pool) -> Iterator[Lanes]:
    with redis.Redis.from_url(pool.valkey.url) as client:
        yield Lanes(client)


def spans(results: Sequence[ExtractionResult]) -> list[tuple[datetime, datetime]]:
    """From the first call of each job to the end of its last."""
    found = []
    for result in results:
        calls = sorted(result.attempts, key=lambda record: record.started_at)
        found.append((calls[0].started_at, calls[-1].started_at + timedelta(milliseconds=calls[-1].latency_ms)))
    return found


def assert_one_after_another(found: Sequence[tuple[datetime, datetime]]) -> None:
    for (_, ended), (began, _) in pairwise(found):
        # Latencies are rounded.
        assert began >= ended - timedelta(milliseconds=1), found


def test_jobs_of_a_session_are_called_for_one_after_another_also_when_they_fall_back(
    pool: Pool, producer: Producer
) -> None:
    pool.simulator.set_latency(Latency.fixed(0.1))
    # Four calls of the primary go wrong, so that some jobs go on to the fallback.
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=400, prefix="/openai/", count=4))
    names = [f"s{number % 3}" for number in range(12)]

    handles = list(producer.enqueue_many(job(session=name) for name in names))

    assert not wait(handles, timeout=60).not_done
    for name in set(names):
        of_session = [handle.result() for handle, whose in zip(handles, names, strict=True) if whose == name]
        assert_one_after_another(spans(of_session))
    roles = {record.role.value for handle in handles for record in handle.result().attempts}
    assert roles == {"primary", "fallback"}


def test_jobs_of_foreign_producers_go_one_after_another_too(pool: Pool, producer: Producer) -> None:
    pool.simulator.set_latency(Latency.fixed(0.1))
    with create_app(pool.settings) as app:
        sent = [app.send_task(EXTRACT_TASK, args=[job(session="f")], queue=ENTRY_QUEUE).id for _ in range(4)]
        cast("Any", app.backend).result_consumer.stop()
        cast("Any", app.backend).client.connection_pool.disconnect()

    done, not_done = wait([producer.handle(job_id) for job_id in sent], timeout=60)

    assert not not_done
    assert_one_after_another(sorted(spans([handle.result() for handle in done])))


def test_a_job_that_fails_lets_its_session_go_on(pool: Pool, producer: Producer) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=400, prefix="/openai/", count=1))

    first, *rest = list(producer.enqueue_many(job(project="solo", session="s") for _ in range(3)))

    error = first.exception(timeout=60)
    assert error is not None
    assert error.code is FailureCode.BAD_REQUEST
    assert [handle.result(timeout=60).status.value for handle in rest] == ["succeeded"] * 2


def test_jobs_behind_are_listed_and_ended_by_the_commands(pool: Pool, producer: Producer, lanes: Lanes) -> None:
    lanes.pause(project="solo")
    handles = list(producer.enqueue_many(job(project="solo", session="s") for _ in range(3)))
    assert [handle.state() for handle in handles] == ["pending"] * 3

    [lane] = json.loads(pool.byom("lanes", "list", "--project", "solo", "--json").stdout)
    ended = json.loads(pool.byom("lanes", "drain", "--project", "solo", "--yes", "--json").stdout)

    assert (lane["depth"], lane["behind"]) == (1, 2)
    assert ended == {"project": "solo", "ended": 3}
    errors = [handle.exception(timeout=30) for handle in handles]
    assert [error and error.code for error in errors] == [FailureCode.CANCELLED] * 3
    lanes.resume(project="solo")
    assert producer.enqueue(job(project="solo", session="s")).result(timeout=60).status.value == "succeeded"


def test_jobs_behind_move_with_those_before_them(pool: Pool, producer: Producer, lanes: Lanes) -> None:
    lanes.pause(project="acme")
    handles = list(producer.enqueue_many(job(session="m") for _ in range(3)))

    done = pool.byom("lanes", "move", "--project", "acme", "--from", "primary", "--to", "backup", "--yes", "--json")
    lanes.resume(project="acme")

    assert json.loads(done.stdout)["moved"] == 3, done.stderr
    assert not wait(handles, timeout=60).not_done
    results = [handle.result() for handle in handles]
    assert {record.connection for result in results for record in result.attempts} == {"backup"}
    assert_one_after_another(spans(results))
    wait_until(lambda: lanes.waiting("acme") == 0)
