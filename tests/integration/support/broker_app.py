"""A worker for tests: the pool's own app with tasks that leave traces in Redis. Run as `celery -A` this module."""

import json
import os
import time
from typing import Any, cast

import redis
from celery import signals
from celery.exceptions import Reject
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from config.settings import Settings
from workers.app import create_app
from workers.broker.parked import Parked
from workers.log import configure_logging

settings = Settings()
app = create_app(settings)
app.conf.include = []
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    # Below what settings allow, so that a test need not wait for a minute.
    "visibility_timeout": float(os.environ["TEST_VISIBILITY"]),
    "unacked_restore_interval": 0.2,
}
app.set_default()

# Patient, since a restart of the broker is no fault of the task.
traces = redis.Redis.from_url(settings.redis_url, max_connections=500, retry=Retry(ConstantBackoff(0.1), 100))


@signals.setup_logging.connect(weak=False)
def set_up_logging(**_options: Any) -> None:
    """Log as the real app does."""
    configure_logging(settings.log_format, settings.log_level)


class Receipt:
    """A result that shows less than it holds."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job

    def __json__(self) -> dict[str, Any]:
        return {"memories": [episode["content"] for episode in self._job["episodes"]]}

    def __repr__(self) -> str:
        return repr({"facts": len(self._job["episodes"])})


@app.task(name="test.record")
def record(job: dict[str, Any]) -> None:
    """Count that a job ran."""
    traces.hincrby("test.runs", job["project"], 1)


@app.task(name="test.hold")
def hold(job: dict[str, Any]) -> None:
    """Count that a job ran, and last."""
    traces.hincrby("test.runs", job["project"], 1)
    time.sleep(job["seconds"])
    traces.hincrby("test.ended", job["project"], 1)


@app.task(name="test.step")
def step(job: dict[str, Any]) -> None:
    """Note when a job of a session began and ended, and last a moment."""
    traces.rpush(f"test.steps:{job['project']}", f"begin {job['number']}")
    time.sleep(job["seconds"])
    traces.rpush(f"test.steps:{job['project']}", f"end {job['number']}")


@app.task(name="test.extract")
def extract(job: dict[str, Any]) -> Receipt:
    """Return what was said, as the real tasks do."""
    return Receipt(job)


@app.task(name="test.fail")
def fail(job: dict[str, Any]) -> None:
    """Fail without quoting the job."""
    raise RuntimeError(f"could not do it for {job['project']}")


@app.task(name="test.park", bind=True)
def park(self: Any, job: dict[str, Any]) -> str:
    """Go back to the lane so many times; note what the broker says of each delivery."""
    traces.rpush(f"test.told:{job['project']}", json.dumps(self.request.byom))
    if traces.hincrby("test.runs", job["project"], 1) <= job["times"]:
        raise Reject(cast("Any", Parked(seconds=job["seconds"], reason="tokens")), requeue=True)
    return str(self.request.id)
