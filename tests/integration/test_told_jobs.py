"""Real workers tell of what they do: callbacks of jobs, and events of failing calls."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import standardwebhooks

from config.connections import project_path
from config.store import FileStore
from config.webhooks import CALLBACK, save_webhook, signing_secrets
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ExtractionResult, JobRefused
from tests.integration.support.pool import Pool, job, running_pool, wait_until
from tests.posted import listening
from workers.app import create_app
from workers.notify import EventReader

pytestmark = pytest.mark.integration


@pytest.fixture
def receiver() -> Iterator[Any]:
    with listening() as server:
        server.url += "/done"
        yield server


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with running_pool(tmp_path) as made:
        made.extra["BYOM_ALLOW_PRIVATE_ENDPOINTS"] = "true"
        yield made


def test_a_job_is_called_back_with_its_result_and_a_refused_one_is_told(pool: Pool, receiver: Any) -> None:
    store, now = FileStore(pool.store_path), datetime.now(UTC)
    signer = save_webhook(store, project_path("acme"), CALLBACK, url=None, kinds=(), now=now)
    save_webhook(store, project_path("acme"), "jobs", url=receiver.url, kinds=("job.*",), now=now)
    [secret] = signing_secrets(store, signer, now=now)
    app = create_app(pool.settings)
    pool.start_worker()

    def send(project: str) -> Any:
        payload = job(project=project, callback_url=receiver.url)
        return app.send_task(EXTRACT_TASK, args=[payload], queue=ENTRY_QUEUE, argsrepr="(…)", kwargsrepr="{}")

    good, unsigned = send("acme"), send("solo")
    with pytest.raises(JobRefused, match="byom webhook secret --project solo"):
        unsigned.get(timeout=30)
    result = ExtractionResult.model_validate(good.get(timeout=30))
    wait_until(lambda: len(receiver.got) >= 2)
    app.close()

    ids = {headers["webhook-id"]: (headers, body) for headers, body in receiver.got}
    assert ids.keys() == {good.id, f"evt_{good.id}"}
    document = standardwebhooks.Webhook(secret.get_secret_value()).verify(ids[good.id][1], ids[good.id][0])
    assert ExtractionResult.model_validate(document["data"]["result"]) == result
    assert "result" not in json.loads(ids[f"evt_{good.id}"][1])["data"]
    with redis.Redis.from_url(pool.valkey.url) as client:
        told = [(event.type, event.project) for event in EventReader(client).kept()]
    assert sorted(told) == [("job.completed", "acme"), ("job.failed", "solo")]
    assert secret.get_secret_value().removeprefix("whsec_").encode() not in pool.everything_in_valkey()
    assert secret.get_secret_value().removeprefix("whsec_") not in pool.worker_logs()
