"""What operators do to jobs that wait, on a real worker: end them, send them elsewhere, mend what they wait for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from config.connections import effective_chain
from config.store import FileStore
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ExtractionFailed, FailureCode, JobRefused
from tests.integration.support.pool import ROOT, SECRET_KEY, Pool, job, running_pool, wait_until
from workers.admission.keys import keys_of
from workers.admission.redis import script
from workers.app import create_app
from workers.dead.shelf import Shelf
from workers.embedded.simulator import Account, KeyState
from workers.engine.routing import Route
from workers.enqueue.producer import Producer
from workers.lanes.control import Lanes, Which
from workers.task.messages import attempt_signature

pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

NEW_KEY = "sk-canary-mended-7c11"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    with running_pool(folder) as pool:
        pool.max_wait = 600
        pool.extra = {
            "BYOM_AUDIT_LOG": str(folder / "audit.jsonl"),
            "BYOM_ALLOW_PRIVATE_ENDPOINTS": "true",
            # Long enough that nothing is noticed but what is told.
            "BYOM_CONFIG_CACHE_TTL": "600",
            "NEW_KEY": NEW_KEY,
        }
        pool.start_worker()
        yield pool


@pytest.fixture
def pool(running: Pool) -> Pool:
    running.simulator.reset()
    return running


@pytest.fixture
def producer(pool: Pool) -> Iterator[Producer]:
    with pool.producer() as producer:
        yield producer


@pytest.fixture
def lanes(pool: Pool) -> Iterator[Lanes]:
    with redis.Redis.from_url(pool.valkey.url) as client:
        yield Lanes(client)


def byom(pool: Pool, *words: str) -> Any:
    """Run a command with `--json`, as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *words, "--json"],
        cwd=ROOT,
        env=pool.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def keep_waiting(pool: Pool, project: str, *, seconds: int) -> None:
    """Make a lane and its meter wait so long that nothing goes on by itself while the test looks."""
    primary = effective_chain(FileStore(pool.store_path), project)[0]
    with redis.Redis.from_url(pool.valkey.url) as client:
        hold = client.register_script(script("hold", "declared"))
        hold(keys=list(keys_of(primary)), args=["", "hold", "credential", seconds, "credential_rejected"])
        [lane] = Lanes(client).names(Which(project=project))
        now: Any = client.time()
        client.zadd(lane.due, {f"lane\t{lane}": now[0] + seconds, f"meter\t{lane.meter_name}": now[0] + seconds})


def served(pool: Pool) -> int:
    return sum(total.served for total in pool.simulator.books().totals)


def test_a_drained_job_fails_as_cancelled_and_stays_ended_when_it_is_delivered_again(
    pool: Pool, producer: Producer, lanes: Lanes
) -> None:
    lanes.pause(project="solo")
    handle = producer.enqueue(job(project="solo"))
    wait_until(lambda: lanes.waiting("solo") == 1)

    drained = byom(pool, "lanes", "drain", "--project", "solo", "--yes")

    assert drained == {"project": "solo", "ended": 1}
    with pytest.raises(ExtractionFailed, match="ended by an operator") as caught:
        handle.result(timeout=10)
    assert caught.value.details["code"] == FailureCode.CANCELLED
    assert (handle.state(), lanes.waiting("solo")) == ("failed", 0)

    # As if the command had died before the broker forgot the message.
    lanes.resume(project="solo")
    route = Route(connection="primary", provider="openai", model="gpt-6-luna", role="primary")
    with create_app(pool.settings) as app:
        again = attempt_signature(app, job(project="solo"), route, None, job_id=handle.id)
        again.apply_async(task_id=handle.id)
        # What comes after it in the queue has been done, and so has it.
        other = producer.enqueue(job(project="solo"))
        assert other.result(timeout=30).usage.attempts == 1
        wait_until(lambda: app.control.inspect().active() == {"w0@test": []})
    with pytest.raises(ExtractionFailed, match="ended by an operator"):
        handle.result(timeout=10)
    assert served(pool) == 1


def test_a_moved_job_is_done_by_the_other_connection(pool: Pool, producer: Producer, lanes: Lanes) -> None:
    lanes.pause(project="acme")
    handle = producer.enqueue(job())
    wait_until(lambda: lanes.waiting("acme") == 1)

    moved = byom(pool, "lanes", "move", "--project", "acme", "--from", "primary", "--to", "backup", "--yes")
    byom(pool, "lanes", "resume", "--project", "acme")

    assert moved["moved"] == 1
    [attempt] = handle.result(timeout=30).attempts
    assert attempt.connection == "backup"


def test_jobs_that_wait_for_a_key_go_on_as_soon_as_it_is_replaced(pool: Pool, producer: Producer, lanes: Lanes) -> None:
    pool.simulator.put_account(Account(key=SecretStr(SECRET_KEY), state=KeyState.REVOKED))
    handles = [producer.enqueue(job(project="solo")) for _ in range(3)]
    wait_until(lambda: {handle.state() for handle in handles} == {"waiting"})
    wait_until(lambda: lanes.waiting("solo") == 3)
    keep_waiting(pool, "solo", seconds=600)

    byom(pool, "credential", "add", "--project", "solo", "--name", "main", "--key-env", "NEW_KEY", "--activate")

    assert [handle.result(timeout=20).usage.attempts >= 1 for handle in handles] == [True] * 3


def test_a_foreign_producer_is_refused_where_too_many_jobs_wait(pool: Pool, producer: Producer, lanes: Lanes) -> None:
    byom(pool, "project", "set", "--project", "acme", "--max-waiting", "1")
    lanes.pause(project="acme")
    producer.enqueue(job())

    with create_app(pool.settings) as app:
        foreign = app.send_task(EXTRACT_TASK, args=[job()], queue=ENTRY_QUEUE)
        with pytest.raises(JobRefused, match="max_waiting") as caught:
            foreign.get(timeout=30)

    assert caught.value.details["code"] == FailureCode.BACKLOG_FULL
    # Nobody but the worker has it: its producer cannot send it again.
    with redis.Redis.from_url(pool.valkey.url) as client:
        [letter] = Shelf(client).some([str(foreign.id)])
    assert letter.about.code == FailureCode.BACKLOG_FULL
    assert byom(pool, "lanes", "drain", "--project", "acme", "--yes")["ended"] == 1
    lanes.resume(project="acme")


def test_every_command_left_its_record(pool: Pool) -> None:
    byom(pool, "lanes", "weight", "2", "--project", "acme")
    byom(pool, "limits", "set", "--project", "acme", "--connection", "primary", "--tpm", "60000")

    log = Path(pool.extra["BYOM_AUDIT_LOG"]).read_text(encoding="utf-8")
    *_, weight, limits = [json.loads(line) for line in log.splitlines()]
    assert (weight["action"], weight["changes"]) == ("project.save", {"weight": {"from": None, "to": 2.0}})
    assert (limits["action"], limits["changes"]["tpm_capacity"]["to"]) == ("connection.save", 60_000)
    assert SECRET_KEY not in log
    assert NEW_KEY not in log
