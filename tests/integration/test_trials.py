"""A job that is tried alone while its worker is killed: that is not held against it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from config.connections import effective_chain
from config.store import FileStore
from tasks.contract import JobStatus
from tests.integration.support.inbox import INDEX
from tests.integration.support.pool import Pool, job, running_pool, wait_until
from workers.app import create_app
from workers.embedded.simulator import Latency
from workers.engine.routing import first_route
from workers.solitary.marks import Marks
from workers.task.messages import attempt_signature

pytestmark = pytest.mark.integration


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with running_pool(tmp_path) as pool:
        yield pool


def children_of(pid: int) -> list[int]:
    """Processes that run a job alone for a worker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"workers.solitary.child" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def kill_worker(pool: Pool, client: redis.Redis, *, with_children: bool) -> None:
    """End the last worker without a word; what it had in hand comes back at once, to the next."""
    worker = pool.workers[-1]
    children = children_of(worker.pid)
    worker.kill()
    worker.wait()
    if with_children:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for key in list(client.scan_iter(match="byom:job:*:lease")):
            client.delete(key)
    unrenewed: Any = dict.fromkeys(client.zrange(INDEX, 0, -1), 1)
    if unrenewed:
        client.zadd(INDEX, unrenewed, xx=True)


def test_workers_that_are_killed_while_a_job_is_alone_are_not_held_against_it(pool: Pool) -> None:
    pool.simulator.set_latency(Latency.fixed(60))
    route = first_route(effective_chain(FileStore(pool.store_path), "solo"))
    with (
        pool.producer() as producer,
        redis.Redis.from_url(pool.valkey.url) as client,
        create_app(pool.settings) as app,
    ):
        # Two workers vanished while they had it in hand, one machine while it was tried.
        attempt_signature(app, job(project="solo"), route, None, job_id="j", crashes=2).apply_async(task_id="j")
        marks = Marks(client)
        marks.begins("j")

        # The next machine goes.
        pool.launch_worker()
        wait_until(lambda: marks.unheard_of("j") == 2, seconds=60)
        kill_worker(pool, client, with_children=True)

        # The next worker goes, and leaves its child to itself: the job ends without it.
        pool.simulator.set_latency(Latency.fixed(2))
        pool.launch_worker()
        wait_until(lambda: marks.unheard_of("j") != 2, seconds=60)
        kill_worker(pool, client, with_children=False)
        wait_until(lambda: marks.unheard_of("j") == 0, seconds=60)

        pool.launch_worker()
        assert producer.handle("j").result(timeout=60).status is JobStatus.SUCCEEDED
        cast("Any", app.backend).client.connection_pool.disconnect()
    assert pool.worker_logs().count("job_tried_alone") >= 2
    assert "job_quarantined" not in pool.worker_logs()
