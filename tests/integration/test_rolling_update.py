"""Workers are replaced one after the other while jobs flow: nothing is lost, and no job waits beyond the drain."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.support.pool import Pool, job, running_pool
from workers.embedded.simulator import FaultRule, Injection
from workers.enqueue.producer import Producer
from workers.ledger.stream import Cursor, RecordStream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

#: Seconds: a stopping worker goes on for, and a vanished one's jobs would wait for.
DRAIN, VISIBILITY = 1, 600
SLOTS, HELD = 8, 3
#: Jobs under way at once, at the most.
WINDOW = 10
#: Seconds beyond the drain that a job may take on a machine that is busy; far less than the visibility timeout.
SLACK = 40


class Flow:
    """Jobs that are enqueued as others end."""

    def __init__(self, producer: Producer, client: redis.Redis) -> None:
        self._producer, self._client = producer, client
        #: Job → Unix time at which it was enqueued, and at which its result is dated.
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def enqueue(self, text: str) -> str:
        began = time.time()
        name = self._producer.enqueue(job(text, project="roller")).id
        self.began[name] = began
        return name

    def look(self) -> None:
        """See which jobs have ended."""
        waiting = [name for name in self.began if name not in self.ended]
        found: Any = self._client.mget([f"celery-task-meta-{name}" for name in waiting]) if waiting else []
        for name, text in zip(waiting, found, strict=True):
            document = json.loads(text) if text else {}
            if document.get("status") == "SUCCESS":
                self.ended[name] = datetime.fromisoformat(document["date_done"]).timestamp()

    def until(self, condition: Callable[[], Any], *, flowing: bool = True, seconds: float = 90) -> None:
        """Keep jobs flowing until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            self.look()
            if flowing and len(self.began) - len(self.ended) < WINDOW:
                self.enqueue(f"Ada lives at number {len(self.began)}.")
            time.sleep(0.05)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with running_pool(tmp_path) as pool:
        pool.extra |= {
            "BYOM_CONCURRENCY": str(SLOTS),
            "BYOM_VISIBILITY_TIMEOUT": str(VISIBILITY),
            "BYOM_SHUTDOWN_TIMEOUT": str(DRAIN),
        }
        # No limit is to hold anybody up.
        pool.add_project("roller", tpm_capacity=100_000_000, tpm_refill_per_second=1_000_000)
        yield pool


def drained(worker: "subprocess.Popen[bytes]", flow: Flow) -> tuple[float, float]:
    """Tell a worker to end while jobs flow; Unix time of that, and of its end."""
    told = time.time()
    worker.terminate()
    flow.until(lambda: worker.poll() is not None)
    assert worker.returncode == 0
    return told, time.time()


def test_workers_are_replaced_under_load_and_no_job_is_lost_doubled_or_late(pool: Pool) -> None:
    with pool.producer() as producer, redis.Redis.from_url(pool.valkey.url) as client:
        flow = Flow(producer, client)
        # The first worker has jobs in hand that will not end within its drain.
        first = pool.start_worker()
        pool.simulator.add_fault(FaultRule(kind=Injection.HANG, text="is held up", count=HELD))
        held = {flow.enqueue(f"Bea is held up at gate {number}.") for number in range(HELD)}
        flow.until(lambda: len(pool.simulator.books().entries) >= HELD, flowing=False)
        second = pool.start_worker()
        enough = len(flow.ended) + WINDOW
        flow.until(lambda: len(flow.ended) >= enough)

        told, gone = drained(first, flow)
        third = pool.launch_worker()
        flow.until(lambda: b" ready." in (pool.logs / "worker-2.log").read_bytes())
        drained(second, flow)
        enough = len(flow.ended) + WINDOW
        flow.until(lambda: len(flow.ended) >= enough)
        flow.until(lambda: len(flow.ended) == len(flow.began), flowing=False)
        flow.until(lambda: not client.exists("byom.unacked", "byom.unacked_index"), flowing=False)

        # It drained for as long as it may, and no longer.
        assert DRAIN <= gone - told < DRAIN + SLACK
        # What it had to hand back was done at once by another.
        assert max(flow.ended[name] for name in held) < gone + SLACK
        # Nobody else waited for more than that either.
        late = {name: flow.ended[name] - flow.began[name] for name in flow.ended.keys() - held}
        assert max(late.values()) < DRAIN + SLACK
        # Called again was only what was in hand of a worker that ended, and the ledger knows of each such call.
        calls = Counter(entry.tags["job"] for entry in pool.simulator.books(entries=100_000).entries)
        again = {name: count - 1 for name, count in calls.items() if count > 1}
        assert calls.keys() == flow.began.keys()
        assert {name: again.get(name) for name in held} == dict.fromkeys(held, 1)
        assert len(again) <= 2 * SLOTS
        records = [json.loads(entry.text) for entry in RecordStream(client).read(Cursor(), count=100_000).entries]
        statuses = {name: sorted(one["status"] for one in records if one["job_id"] == name) for name in flow.began}
        assert statuses == {name: ["lost"] * again.get(name, 0) + ["ok"] for name in flow.began}
        third.terminate()
