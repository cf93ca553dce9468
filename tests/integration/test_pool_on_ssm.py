"""A worker whose configuration and secrets are in SSM: it extracts, sees a rotation, and logs no secret at DEBUG."""

import json
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import open_store
from tasks.contract import JobStatus
from tests.aws import MotoServer
from tests.integration.support.pool import Pool, holds, job, wait_until
from workers.configuration.admin import Admin
from workers.embedded.simulator import SimulatorThread
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer

pytestmark = pytest.mark.integration

#: They look like no vendor's keys, so that the mask of the logs does not know them.
OLD_KEY = "canary-ssm-old-77c0e1d4"
NEW_KEY = "canary-ssm-new-0b92fa36"
KEY_FILE = simulated_key_file("canary-ssm@extraction.iam.gserviceaccount.com")


def test_a_worker_on_ssm_extracts_and_sees_a_rotation_and_logs_no_secret(
    moto_server: MotoServer, tmp_path: Path
) -> None:
    url = f"ssm://us-east-1/t-{uuid.uuid4().hex}"
    with moto_server.as_environment(), EmbeddedValkey() as valkey, SimulatorThread() as simulator:
        store = open_store(url)
        kinds = {"openai": ("gpt-6-luna", OLD_KEY), "vertex": ("gemini-3.5-flash-lite", KEY_FILE)}
        for kind, (model, secret) in kinds.items():
            scope = project_path(kind)
            save_project(store, kind)
            save_credential(store, scope, "main", SecretStr(secret))
            document = {"name": "primary", "provider": kind, "model": model, "credential": "main"}
            save_connection(store, scope, document | {"base_url": simulator.base_urls[kind]})
        pool = Pool(valkey=valkey, simulator=simulator, store_path=tmp_path / "none.json", logs=tmp_path)
        pool.extra |= {
            "BYOM_STORE_URL": url,
            # Nothing but a notice makes the worker look again within the test.
            "BYOM_CONFIG_CACHE_TTL": "60",
            "BYOM_GOOGLE_TOKEN_URL": simulator.base_urls["google_oauth"],
        }
        audit = str(tmp_path / "audit.jsonl")
        settings = pool.settings.model_copy(update={"store_url": url, "audit_log": audit, "actor": "ada"})
        pool.start_worker()
        try:
            with Producer.from_settings(settings) as producer, Admin.opened(settings) as admin:
                first = [producer.enqueue(job(project=kind)).result(timeout=30) for kind in kinds]
                scope = project_path("openai")
                version = admin.add_credential(scope, "main", SecretStr(NEW_KEY)).version
                admin.note_verification(scope, "main", version, problem=None)
                admin.activate_credential(scope, "main", version)

                def version_used() -> int | None:
                    (attempt,) = producer.enqueue(job(project="openai")).result(timeout=30).attempts
                    return attempt.credential_version

                wait_until(lambda: version_used() == version, seconds=10)
        finally:
            pool.stop_workers()

    assert {result.status for result in first} == {JobStatus.SUCCEEDED}
    assert [attempt.credential_version for result in first for attempt in result.attempts] == [1, 1]
    log = pool.worker_logs().encode()
    assert holds(log, "[debug")
    assert holds(log, "credential_version=2")
    private_key = json.loads(KEY_FILE)["private_key"].splitlines()[1:-1]
    assert [secret for secret in (OLD_KEY, NEW_KEY, *private_key) if holds(log, secret)] == []
    assert not Path(pool.store_path).exists()
