"""Dead letters end to end: an outage and its replay, and a job that workers die of."""

import base64
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import redis

from config.store import FileStore
from tasks.contract import ExtractionFailed, FailureCode, JobStatus
from tests.integration.support.inbox import INDEX
from tests.integration.support.pool import CANARY, SECRET_KEY, Pool, holds, job, running_pool, wait_until
from workers.app import create_app
from workers.dead.replay import Fate, Replayer
from workers.dead.shelf import Shelf
from workers.embedded.simulator import FaultRule, Injection, Latency
from workers.embedded.valkey import _free_port
from workers.ledger import RECORDS_KEY
from workers.notify.events import EVENTS_KEY

pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

#: Jobs of the outage; the figure of the documentation was measured with 1000.
JOBS = int(os.environ.get("TEST_OUTAGE_JOBS", "100"))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with running_pool(tmp_path) as pool:
        yield pool


def test_an_outage_is_replayed_and_every_job_succeeds_once(pool: Pool) -> None:
    key = pool.extra["BYOM_DEAD_LETTER_KEY"] = base64.b64encode(os.urandom(32)).decode()
    pool.max_wait = 0
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503))
    pool.add_project("night", tpm_capacity=100_000_000, tpm_refill_per_second=1_000_000)
    pool.start_worker()
    with pool.producer() as producer:
        handles = list(
            producer.enqueue_many(
                job(f"Ada moved to Lisbon in May 2026. {number}", project="night", idempotency_key=f"k{number}")
                for number in range(JOBS)
            )
        )
        for handle in handles:
            with pytest.raises(ExtractionFailed):
                handle.result(timeout=120)
        with redis.Redis.from_url(pool.valkey.url) as client:
            wait_until(lambda: client.zcard("byom:dead:all") == JOBS)
            # Messages are acknowledged a moment after their ends are known.
            wait_until(lambda: not client.exists("byom.unacked"))
        everything = pool.everything_in_valkey()
        assert not holds(everything, SECRET_KEY)
        assert not holds(everything + pool.worker_logs().encode(), key)
        # Nothing waits any more, so all that is left of what was said is sealed.
        assert not holds(everything, CANARY)
        causes = pool.byom("dead", "list", "--by", "cause", "--project", "night", "--json").stdout
        assert json.loads(causes) == {"cause": FailureCode.PROVIDER_UNAVAILABLE.value, "jobs": JOBS}
        failed_calls = pool.simulator.books().requests

        pool.simulator.clear_faults()
        pool.forget_meters()
        replayed = pool.byom("dead", "replay", "--project", "night", "--yes", "--json")
        assert (replayed.returncode, json.loads(replayed.stdout)["replayed"]) == (0, JOBS), replayed.stderr
        # A handle that has heard of the end keeps it.
        results = [producer.handle(handle.id).result(timeout=120) for handle in handles]
        again = producer.enqueue(job("Ada moved to Lisbon in May 2026. 0", project="night", idempotency_key="k0"))
        assert (again.id, again.duplicate) == (handles[0].id, True)

    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    with redis.Redis.from_url(pool.valkey.url) as client:
        wait_until(lambda: client.zcard("byom:dead:all") == 0)
        records = [json.loads(fields[b"record"]) for _, fields in client.xrange(RECORDS_KEY)]
    assert len({record["id"] for record in records}) == len(records) == pool.simulator.books().requests
    good = Counter(record["job_id"] for record in records if record["status"] == "ok")
    assert good == dict.fromkeys((handle.id for handle in handles), 1)
    assert len(records) == failed_calls + JOBS
    names = Counter((record["job_id"], record["attempt"]) for record in records)
    assert set(names.values()) == {1}


class Fuse:
    """What the poison waits for, and who dies of it."""

    def __init__(self, pool: Pool, file: Path) -> None:
        self._pool, self._file = pool, file
        pool.extra["TEST_FUSE"] = str(file)
        self.start_worker()

    def start_worker(self) -> None:
        """One that knows the poison."""
        self._pool.ready(self._pool.launch_worker("--include", "tests.integration.support.crashing"))

    def light(self, in_hand: int) -> None:
        """End the worker once it has so many jobs in hand; they come back at once, to the next."""
        with redis.Redis.from_url(self._pool.valkey.url) as client:
            wait_until(lambda: client.zcard(INDEX) == in_hand)
            self._file.touch()
            wait_until(lambda: self._pool.workers[-1].poll() is not None)
            self._file.unlink()
            client.zadd(INDEX, dict.fromkeys(client.zrange(INDEX, 0, -1), 1), xx=True)
        self.forget_leases()

    def forget_leases(self) -> None:
        """Whoever has died holds jobs for seconds that a test need not wait."""
        with redis.Redis.from_url(self._pool.valkey.url) as client:
            for key in list(client.scan_iter(match="byom:job:*:lease")):
                client.delete(key)

    def stay_lit(self) -> None:
        self._file.touch()


def verdicts(pool: Pool) -> int:
    """How often a worker has seen a child die."""
    return len(re.findall(r"\[error +\] job_quarantined ", pool.worker_logs()))


def test_a_job_that_workers_die_of_is_quarantined_and_those_beside_it_are_not(pool: Pool, tmp_path: Path) -> None:
    pool.add_project("poison")
    port = _free_port()
    pool.extra |= {"BYOM_MAX_CRASHES": "2", "BYOM_METRICS_PORT": str(port)}
    # All that the worker has in hand is still there when it dies.
    pool.simulator.set_latency(Latency.fixed(60))
    with pool.producer() as producer, redis.Redis.from_url(pool.valkey.url) as client, create_app(pool.settings) as app:
        innocent = [producer.enqueue(job(f"Ada moved to Lisbon. {number}", project="solo")) for number in range(5)]
        poison = producer.enqueue(job(project="poison"))
        fuse = Fuse(pool, tmp_path / "fuse")
        fuse.light(in_hand=6)
        pool.simulator.set_latency(Latency())
        fuse.start_worker()
        fuse.stay_lit()
        wait_until(lambda: verdicts(pool) == 1, seconds=60)
        fuse.forget_leases()
        with pytest.raises(ExtractionFailed) as failed:
            poison.result(timeout=60)
        results = [handle.result(timeout=60) for handle in innocent]

        assert failed.value.code is FailureCode.QUARANTINED
        assert "2 processes died" in failed.value.message
        assert {result.status for result in results} == {JobStatus.SUCCEEDED}
        # What they did in processes of their own is among their worker's metrics.
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        assert re.search(
            r'^gen_ai_client_operation_duration_seconds_count\{error_type="".*\} 5\.0$', page, re.MULTILINE
        )
        assert re.search(r'^byom_jobs_total\{.*status="succeeded".*\} 5\.0$', page, re.MULTILINE)
        # Those that stood by were suspects as much as the poison.
        assert pool.worker_logs().count("job_tried_alone") == 6
        [letters] = Shelf(client).pages()
        [letter] = letters
        assert (letter.id, letter.about.code, letter.about.project) == (poison.id, "quarantined", "poison")
        wait_until(lambda: b"byom.job_quarantined" in repr(client.xrange(EVENTS_KEY)).encode())

        # Replayed without having been mended it is tried alone at once.
        store = FileStore(pool.store_path)
        replayer = Replayer(app=app, client=client, store=store, settings=pool.settings)
        assert [outcome.fate for outcome in replayer.replay([letter])] == [Fate.REPLAYED]
        wait_until(lambda: verdicts(pool) == 2, seconds=60)
        fuse.forget_leases()
        wait_until(lambda: [one.replays for one in Shelf(client).some([poison.id])] == [1])
        # Nobody else has died of it.
        assert pool.workers[-1].poll() is None
        cast("Any", app.backend).client.connection_pool.disconnect()
    assert CANARY not in pool.worker_logs()
