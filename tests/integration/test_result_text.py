"""What the event loop stores of a task is what Celery would have stored, and reads like it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from config.settings import Settings
from tasks.contract import ExtractionResult, JobStatus
from workers.app import create_app
from workers.broker.results import Results
from workers.embedded.valkey import EmbeddedValkey
from workers.task.receipt import Receipt

pytestmark = pytest.mark.integration

RECEIPT = Receipt(ExtractionResult(job_id="job-1", project="acmé", status=JobStatus.SUCCEEDED))
REQUEST = SimpleNamespace(id="job-1", group="group-1", parent_id="parent-1", chord=None)


async def test_it_is_the_same(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    app = create_app(Settings.model_validate({"broker_url": valkey.url}))
    backend: Any = app.backend
    key = backend.get_key_for_task("job-1")

    def stored() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(valkey_client.get(key) or b"{}")
        assert told.pop("date_done")
        return told

    backend.store_result("job-1", RECEIPT, "SUCCESS", request=REQUEST)
    theirs, lifetime = stored(), valkey_client.ttl(key)
    valkey_client.delete(key)
    async with Redis.from_url(valkey.url) as client:
        results = Results(client)
        await results.store(backend, "job-1", RECEIPT.text(), "SUCCESS", REQUEST)
        assert stored() == theirs
        assert lifetime - 5 <= valkey_client.ttl(key) <= lifetime
        assert app.AsyncResult("job-1").get(timeout=5) == RECEIPT.__json__()

        # An end is not written over by what came before it.
        await results.store(backend, "job-1", "{}", "STARTED", REQUEST)
        assert stored() == theirs
    app.close()
