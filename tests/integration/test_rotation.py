"""Rotation on real worker processes, while jobs flow. Their caches last long: only notices explain what they do."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr

from config.connections import project_path
from config.credentials import CredentialState, history_of
from config.settings import Settings
from config.store import FileStore
from tasks.contract import ENTRY_QUEUE, VERIFY_TASK, JobStatus
from tests.integration.support.pool import SECRET_KEY, Pool, holds, job, running_pool, wait_until
from workers.admin import Admin
from workers.app import create_app
from workers.embedded.simulator import Account, KeyState, Latency, fingerprint
from workers.producer import JobHandle, Producer

pytestmark = pytest.mark.integration

SCOPE = project_path("solo")
NEW_KEY = "sk-canary-rotated-8841"
BAD_KEY = "sk-canary-refused-3906"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("rotation")) as pool:
        # Half a minute: nothing but a notice makes a worker look again within the test.
        pool.extra["BYOM_CONFIG_CACHE_TTL"] = "30"
        pool.simulator.set_latency(Latency(low=0.01, high=0.05))
        pool.start_worker()
        pool.start_worker()
        yield pool


@pytest.fixture
def settings(pool: Pool) -> Settings:
    return pool.settings.model_copy(update={"audit_log": str(pool.logs / "audit.jsonl"), "actor": "ada"})


class Traffic:
    """Jobs of project `solo`, which has no fallback, for as long as the context lasts."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.handles: list[JobHandle] = []

    def _send(self) -> None:
        while not self._stop.wait(0.02):
            self.handles.append(self._producer.enqueue(job(project="solo")))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def calls(pool: Pool, key: str) -> int:
    """Calls that the provider met with a key, good or bad."""
    return sum(total.requests for total in pool.simulator.books().totals if total.key == fingerprint(key))


def leaks(pool: Pool, settings: Settings) -> list[str]:
    """Keys that stand where none may: in Redis, in logs, in the audit log."""
    everything, audit = pool.everything_in_valkey(), Path(settings.audit_log).read_text(encoding="utf-8")
    assert b"byom:config:changes" in everything
    assert "credential.add" in audit
    keys = (SECRET_KEY, NEW_KEY, BAD_KEY)
    return [key for key in keys if holds(everything, key) or key in pool.worker_logs() or key in audit]


def test_no_job_fails_over_a_rotation_and_the_new_key_is_used_at_once(pool: Pool, settings: Settings) -> None:
    with pool.producer() as producer, Admin.opened(settings) as admin, Traffic(producer) as traffic:
        wait_until(lambda: calls(pool, SECRET_KEY) > 20)
        version = admin.add_credential(SCOPE, "main", SecretStr(NEW_KEY)).version
        admin.note_verification(SCOPE, "main", version, problem=None)
        assert calls(pool, NEW_KEY) == 0, "a pending version is used for nothing"

        activated = time.monotonic()
        admin.activate_credential(SCOPE, "main", version)
        wait_until(lambda: calls(pool, NEW_KEY), every=0.005)
        noticed_after = time.monotonic() - activated
        wait_until(lambda: time.monotonic() > activated + 1)
        # What began before the activation has ended by now; from here on nothing may come with the old key.
        old_calls = calls(pool, SECRET_KEY)
        new_calls = calls(pool, NEW_KEY)
        admin.disable_credential(SCOPE, "main", 1)
        admin.delete_version(SCOPE, "main", 1)
        pool.simulator.put_account(Account(key=SecretStr(SECRET_KEY), state=KeyState.REVOKED))
        wait_until(lambda: calls(pool, NEW_KEY) > new_calls + 20)

    results = [handle.result(timeout=30) for handle in traffic.handles]
    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    assert {len(result.attempts) for result in results} == {1}
    assert {attempt.credential_version for result in results for attempt in result.attempts} == {1, version}
    assert admin.announced
    assert noticed_after < 1
    assert calls(pool, SECRET_KEY) == old_calls, "a call with the old key a second after the activation"
    history = history_of(FileStore(pool.store_path), SCOPE, "main")
    assert history is not None
    assert (history.versions[1].state, history.active) == (CredentialState.DELETED, version)
    assert leaks(pool, settings) == []


def test_a_pending_version_is_verified_by_a_worker(pool: Pool, settings: Settings) -> None:
    with Admin.opened(settings) as admin:
        good = admin.add_credential(SCOPE, "main", SecretStr("sk-canary-pending-5512")).version
        bad = admin.add_credential(SCOPE, "main", SecretStr(BAD_KEY)).version
    pool.simulator.put_account(Account(key=SecretStr(BAD_KEY), state=KeyState.REVOKED))
    app = create_app(pool.settings)

    def verify(version: int) -> Any:
        request = {"project": "solo", "connection": "primary", "credential_version": version}
        return app.send_task(VERIFY_TASK, args=[request], queue=ENTRY_QUEUE).get(timeout=30)

    answers = [verify(good), verify(bad)]
    app.close()

    assert [answer["ok"] for answer in answers] == [True, False]
    assert answers[1]["reports"][0]["problem"] == "bad_key"
    assert {report["credential_version"] for answer in answers for report in answer["reports"]} == {good, bad}
    assert BAD_KEY not in json.dumps(answers)
    assert leaks(pool, settings) == []
