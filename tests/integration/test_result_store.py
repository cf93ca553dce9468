"""Results cannot be stored for a while: no job is lost by that, and no worker loses its places for jobs."""

from pathlib import Path

import pytest

from tasks.contract import JobStatus
from tests.integration.support.pool import job, running_pool

pytestmark = pytest.mark.integration

#: Results that are not stored; more than the worker has places.
REFUSED = 12


def test_jobs_whose_results_cannot_be_stored_are_done_when_they_can(tmp_path: Path) -> None:
    with running_pool(tmp_path) as pool:
        pool.extra |= {"BYOM_CONCURRENCY": "1", "REFUSED_RESULTS": str(REFUSED)}
        pool.ready(pool.launch_worker("--include", "tests.integration.support.forgetful"))
        with pool.producer() as producer:
            handles = list(producer.enqueue_many(job() for _ in range(6)))
            results = [handle.result(timeout=90) for handle in handles]
        log = pool.worker_logs()

    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    # Once for each that the event loop could not store. Where a task runs in a thread Celery tries twice: to store the
    # result, and then the failure to do so.
    assert REFUSED // 2 < log.count("job_put_back") <= REFUSED
