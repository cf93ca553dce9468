"""Rotation on real worker processes, while jobs flow. Their caches last long: only notices explain what they do."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from pydantic import SecretStr

from config.connections import project_path
from config.credentials import CredentialState, history_of
from config.settings import Settings
from config.store import FileStore
from tasks.contract import ENTRY_QUEUE, VERIFY_TASK, JobStatus
from tasks.contract.events import Event, EventKind
from tests.integration.support.pool import SECRET_KEY, Pool, holds, job, running_pool, wait_until
from workers.admission import Reason
from workers.app import create_app
from workers.configuration.admin import Admin
from workers.embedded.simulator import Account, KeyState, Latency, fingerprint
from workers.enqueue.producer import JobHandle, Producer
from workers.lanes.control import Which
from workers.lanes.views import list_lanes
from workers.notify.events import EVENTS_KEY

pytestmark = pytest.mark.integration

SCOPE = project_path("solo")
NEW_KEY = "sk-canary-rotated-8841"
BAD_KEY = "sk-canary-refused-3906"
#: The keys of project `stranded`, which has no fallback, before and after the provider revokes the first.
REVOKED_KEY = "sk-canary-revoked-7150"
MENDED_KEY = "sk-canary-mended-2286"
#: The keys of project `doubled`, which has a fallback.
DOUBLED_KEY = "sk-canary-doubled-4417"
DOUBLED_NEXT_KEY = "sk-canary-doubled-9052"
KEYS = (SECRET_KEY, NEW_KEY, BAD_KEY, REVOKED_KEY, MENDED_KEY, DOUBLED_KEY, DOUBLED_NEXT_KEY)
#: No job is to wait for a limit.
UNMETERED: dict[str, Any] = {"tpm_capacity": 100_000_000, "tpm_refill_per_second": 1_000_000}

#: Calls that a worker has in hand at most.
CONCURRENCY = 8


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("rotation")) as pool:
        # Half a minute: nothing but a notice makes a worker look again within the test.
        pool.extra["BYOM_CONFIG_CACHE_TTL"] = "30"
        # Longer than any test: a job that waits for a key goes on with the key, or never.
        pool.max_wait = 60
        pool.simulator.set_latency(Latency(low=0.01, high=0.05))
        pool.start_worker()
        pool.start_worker()
        yield pool


@pytest.fixture
def settings(pool: Pool) -> Settings:
    return pool.settings.model_copy(update={"audit_log": str(pool.logs / "audit.jsonl"), "actor": "ada"})


class Traffic:
    """Jobs of a project, for as long as the context lasts."""

    def __init__(self, producer: Producer, project: str, *, every: float = 0.02) -> None:
        self._every = every
        self._producer = producer
        self._project = project
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.handles: list[JobHandle] = []

    def _send(self) -> None:
        while not self._stop.wait(self._every):
            self.handles.append(self._producer.enqueue(job(project=self._project)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def calls(pool: Pool, key: str) -> int:
    """Calls that the provider met with a key, good or bad."""
    return sum(total.requests for total in pool.simulator.books().totals if total.key == fingerprint(key))


def refusals(pool: Pool, key: str) -> int:
    """Calls that the provider refused for a key."""
    totals = [total for total in pool.simulator.books().totals if total.key == fingerprint(key)]
    return sum(total.statuses.get(401, 0) for total in totals)


def alerts(pool: Pool, project: str) -> list[dict[str, Any]]:
    """What was said of a project's refused credentials."""
    with redis.Redis.from_url(pool.valkey.url) as client:
        events = [Event.model_validate_json(fields[b"event"]) for _, fields in client.xrange(EVENTS_KEY)]
    refused = [event for event in events if event.type is EventKind.CREDENTIAL_REFUSED]
    return [event.data.model_dump() for event in refused if event.project == project]


def leaks(pool: Pool, settings: Settings) -> list[str]:
    """Keys that stand where none may: in Redis, in logs, in the audit log."""
    everything, audit = pool.everything_in_valkey(), Path(settings.audit_log).read_text(encoding="utf-8")
    assert b"byom:config:changes" in everything
    assert "credential.add" in audit
    return [key for key in KEYS if holds(everything, key) or key in pool.worker_logs() or key in audit]


def test_no_job_fails_over_a_rotation_and_the_new_key_is_used_at_once(pool: Pool, settings: Settings) -> None:
    with pool.producer() as producer, Admin.opened(settings) as admin, Traffic(producer, "solo") as traffic:
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


def test_a_key_that_is_revoked_at_the_provider_first_fails_no_job(pool: Pool, settings: Settings) -> None:
    scope = project_path("stranded")
    pool.add_project("stranded", secret=REVOKED_KEY, **UNMETERED)
    command = ("credential", "add", "--project", "stranded", "--name", "main", "--key-env", "NEXT_KEY", "--json")
    with (
        pool.producer() as producer,
        redis.Redis.from_url(pool.valkey.url) as client,
        Traffic(producer, "stranded", every=0.05) as traffic,
    ):
        wait_until(lambda: calls(pool, REVOKED_KEY) > 20)
        pool.simulator.put_account(Account(key=SecretStr(REVOKED_KEY), state=KeyState.REVOKED))
        (lane,) = wait_until(lambda: [one for one in list_lanes(client, Which(project="stranded")) if one.depth > 20])
        refused = refusals(pool, REVOKED_KEY)
        # No job more than was in hand finds out by a call that the key is refused.
        assert 1 <= refused <= 2 * CONCURRENCY
        assert lane.why == Reason.CREDENTIAL.value
        assert "failed" not in {one.state() for one in traffic.handles}

        # Verified by a call that is made although the connection is left alone.
        added = pool.byom(*command, NEXT_KEY=MENDED_KEY)
        assert added.returncode == 0, added.stderr
        before = calls(pool, MENDED_KEY)
        activated = pool.byom("credential", "activate", "--project", "stranded", "--name", "main")
        assert activated.returncode == 0, activated.stderr
        wait_until(lambda: calls(pool, MENDED_KEY) > before + lane.depth)

    results = [handle.result(timeout=30) for handle in traffic.handles]
    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    assert {provenance.connection for result in results for provenance in result.provenance} == {"primary"}
    history = history_of(FileStore(pool.store_path), scope, "main")
    assert history is not None
    assert history.active is not None
    at = history.versions[history.active].changed_at.timestamp()
    books = pool.simulator.books(entries=100_000).entries
    old = [entry.time for entry in books if entry.key == fingerprint(REVOKED_KEY)]
    # The command verified the key before, by a call of its own.
    resumed = min(entry.time for entry in books if entry.key == fingerprint(MENDED_KEY) and entry.time > at)
    assert max(old) < at + 1, "a call with the old key a second after the activation"
    assert resumed < at + 2
    assert refusals(pool, REVOKED_KEY) <= 2 * CONCURRENCY
    assert [alert["credential_version"] for alert in alerts(pool, "stranded")] in ([1], [1, 1]), "one of each worker"
    assert leaks(pool, settings) == []


def test_an_orderly_rotation_never_touches_the_fallback(pool: Pool, settings: Settings) -> None:
    scope = project_path("doubled")
    pool.add_project("doubled", secret=DOUBLED_KEY, backup=True, **UNMETERED)
    with pool.producer() as producer, Admin.opened(settings) as admin, Traffic(producer, "doubled") as traffic:
        wait_until(lambda: calls(pool, DOUBLED_KEY) > 20)
        version = admin.add_credential(scope, "main", SecretStr(DOUBLED_NEXT_KEY)).version
        admin.note_verification(scope, "main", version, problem=None)
        admin.activate_credential(scope, "main", version)
        wait_until(lambda: calls(pool, DOUBLED_NEXT_KEY) > 20)
        admin.delete_version(scope, "main", 1)
        later = calls(pool, DOUBLED_NEXT_KEY)
        wait_until(lambda: calls(pool, DOUBLED_NEXT_KEY) > later + 20)

    results = [handle.result(timeout=30) for handle in traffic.handles]
    assert {result.status for result in results} == {JobStatus.SUCCEEDED}
    assert {attempt.connection for result in results for attempt in result.attempts} == {"primary"}
    assert {attempt.credential_version for result in results for attempt in result.attempts} == {1, version}
    assert alerts(pool, "doubled") == []
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
