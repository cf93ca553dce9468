"""Results cannot be stored for a while: no job is lost by that, and no worker loses its places for jobs."""

import json
from pathlib import Path

import pytest
import redis
from celery.app.trace import build_tracer
from celery.exceptions import Reject

from config.settings import Settings
from tasks.contract import JobStatus
from tests.integration.support.pool import job, running_pool
from workers.app import create_app
from workers.broker.results import ResultBackend
from workers.embedded.valkey import EmbeddedValkey

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
    assert log.count("job_put_back") == REFUSED


@pytest.mark.parametrize("refused", ["STARTED", "SUCCESS"])
def test_a_server_that_is_back_in_the_same_moment_makes_no_failure_of_it(
    refused: str, valkey: EmbeddedValkey, valkey_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = iter([True])

    class Away(ResultBackend):
        """Cannot be reached once, when it is to store the state that is refused."""

        def _set(self, key: str, value: str | bytes, expires: float | None = None) -> None:
            if json.loads(value)["status"] == refused and next(refusing, False):
                raise LookupError
            super()._set(key, value, expires)

    monkeypatch.setattr("workers.broker.results.ResultBackend", Away)
    app = create_app(Settings.model_validate({"broker_url": valkey.url}))
    app.conf.result_backend_always_retry = False

    @app.task(name="a.task", shared=False)
    def task() -> str:
        return "well"

    trace = build_tracer(task.name, task, app=app)
    request = {"id": "job-1", "delivery_info": {}}

    with pytest.raises(Reject, match="LookupError"):
        trace("job-1", [], {}, request)
    assert app.AsyncResult("job-1").state == ("PENDING" if refused == "STARTED" else "STARTED")
    trace("job-1", [], {}, request)

    assert app.AsyncResult("job-1").get(timeout=5) == "well"
    app.close()
