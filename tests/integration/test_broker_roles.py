"""The broker's users in docs/deployment/redis: each can do its work, and little else."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from tests.integration.support.pool import ROOT, Pool, wait_until
from tests.integration.support.roles import USERS, Guarded
from workers.embedded.simulator import SimulatorThread
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("roles")
    with EmbeddedValkey() as valkey, SimulatorThread() as simulator:
        pool = Pool(valkey=valkey, simulator=simulator, store_path=directory / "store.json", logs=directory)
        pool.configure()
        pool.max_wait = 30
        guarded = Guarded(pool)
        pool.extra["BYOM_BROKER_URL"] = guarded.url("worker")
        pool.start_worker()
        yield guarded
        pool.stop_workers()
        assert guarded.refused() == [], "stopping is part of a worker's work"
        guarded.admin.close()


def job(**fields: Any) -> dict[str, Any]:
    return {"project": "acme", "episodes": [{"id": "e1", "content": "Ana moved to Porto in March 2026."}], **fields}


def test_nobody_comes_in_without_a_password(guarded: Guarded) -> None:
    with (
        redis.Redis.from_url(guarded.pool.valkey.url) as client,
        pytest.raises(redis.AuthenticationError, match="authenticat"),
    ):
        client.ping()


def test_a_producer_enqueues_and_a_worker_works(guarded: Guarded) -> None:
    url = SecretStr(guarded.url("producer"))
    with Producer.from_settings(guarded.pool.settings.model_copy(update={"broker_url": url})) as producer:
        handle = producer.enqueue(job(idempotency_key="first"))
        assert handle.result(timeout=30).status == "succeeded"
        assert producer.enqueue(job(idempotency_key="first")).duplicate
        many = [job(idempotency_key=str(number)) for number in range(5)]
        statuses = [each.result(timeout=30).status for each in producer.enqueue_many(many)]
        assert statuses == ["succeeded"] * 5
        assert producer.backlog("acme").waiting == 0

    assert guarded.refused() == []


def test_a_pipeline_of_another_code_base_sends_and_reads_with_plain_celery(guarded: Guarded) -> None:
    url = guarded.url("pipeline")
    pipeline = Celery(broker=url, backend=url, set_as_current=False)
    pipeline.conf.update(task_serializer="json", accept_content=["json"], result_accept_content=["json"])
    with pipeline:
        sent = pipeline.send_task(
            "byom.extract.v1", args=[job()], queue="byom.extract", argsrepr="(…)", kwargsrepr="{}"
        )
        assert sent.get(timeout=30)["status"] == "succeeded"

    assert guarded.refused() == []


@pytest.mark.parametrize(
    "command",
    [
        ["usage"],
        ["lanes", "pause", "--project", "solo"],
        ["lanes", "resume", "--project", "solo"],
        ["verify", "--project", "acme"],
        ["dead", "list"],
        ["dead", "replay", "--all", "--yes"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_an_operator_has_the_commands(guarded: Guarded, command: list[str]) -> None:
    done = guarded.pool.byom(*command, BYOM_BROKER_URL=guarded.url("operator"))

    assert (done.returncode, guarded.refused()) == (0, []), done.stderr


@contextmanager
def flower(guarded: Guarded) -> Iterator[httpx.Client]:
    """Flower as its own user."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"BYOM_BROKER_URL": guarded.url("flower"), "BYOM_FLOWER_AUTH": "ada:pass"}
    with (guarded.pool.logs / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "flower", "--port", str(port)],
            cwd=ROOT,
            env=guarded.pool.environment | environment,
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("ada", "pass"), timeout=30) as client:
            wait_until(lambda: answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(client: httpx.Client) -> bool:
    """Whether Flower is there."""
    try:
        return client.get("/healthcheck").is_success
    except httpx.TransportError:
        return False


def test_flower_shows_its_pages_and_asks_workers(guarded: Guarded) -> None:
    pages = ["/workers", "/tasks", "/usage", "/providers", "/lanes", "/broker", "/metrics", "/api/workers?refresh=1"]
    with flower(guarded) as client:
        statuses = {page: client.get(page).status_code for page in pages}

    assert guarded.refused() == []
    assert statuses == dict.fromkeys(pages, 200)


EPISODES = "byom:lanes:jobs:extract.openai"
RESULT = "celery-task-meta-1"
MAY: dict[str, list[tuple[str, ...]]] = {
    "worker": [("SET", RESULT, "x"), ("HSET", "byom:job:{1}", "a", "b"), ("LPUSH", "extract.openai", "x")],
    "producer": [("GET", RESULT), ("LPUSH", "byom.extract", "x"), ("SET", "byom:key:acme:1", "x")],
    "pipeline": [("GET", RESULT), ("LPUSH", "byom.extract", "x")],
    "flower": [("XRANGE", "byom:usage:records", "-", "+"), ("HSET", "byom:lanes:paused", "a", "b")],
    "operator": [("CONFIG", "GET", "maxmemory"), ("DEL", RESULT)],
}
#: What would end the pool, or open a way around everything else.
RUINOUS: list[tuple[str, ...]] = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SHUTDOWN",),
    ("CONFIG", "SET", "dir", "x"),
    ("ACL", "LIST"),
    ("MODULE", "LOAD", "x"),
    ("REPLICAOF", "host", "1"),
    ("DEBUG", "SLEEP", "1"),
    ("MONITOR",),
    ("KEYS", "*"),
    ("SCRIPT", "FLUSH"),
    ("GET", "another:application"),
]
#: Ways to results whose ids one does not know: to hear of all of them, or to find the ids.
OVERHEARING: list[tuple[str, ...]] = [
    ("PSUBSCRIBE", "celery-task-meta-*"),
    ("PUBSUB", "CHANNELS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("KEYS", "*"),
]

MAY_NOT: dict[str, list[tuple[str, ...]]] = {
    "worker": [("CONFIG", "GET", "maxmemory")],
    "producer": [
        ("SET", RESULT, "x"),
        ("HGETALL", "byom.unacked"),
        ("HSET", "byom:{p/acme}:meter:x", "a", "b"),
        ("XRANGE", "byom:usage:records", "-", "+"),
        ("XADD", "byom:config:changes", "*", "a", "b"),
        ("PUBLISH", "/0.celery.pidbox", "x"),
        ("PUBLISH", RESULT, "x"),
        *OVERHEARING,
    ],
    "pipeline": [
        ("LRANGE", "byom.extract", "0", "-1"),
        ("RPOP", "byom.extract"),
        ("LRANGE", EPISODES, "0", "-1"),
        ("LPUSH", "extract.openai", "x"),
        ("SET", RESULT, "x"),
        ("EVAL", "return 1", "0"),
        ("PUBLISH", RESULT, "x"),
        *OVERHEARING,
    ],
    "flower": [("SET", RESULT, "x"), ("LPUSH", "extract.openai", "x"), ("HSET", "byom:usage:sums:1", "a", "b")],
    "operator": [("CONFIG", "SET", "maxmemory", "1")],
}


@pytest.mark.parametrize(("user", "command"), [(user, command) for user, list_ in MAY.items() for command in list_])
def test_what_each_needs_is_allowed(guarded: Guarded, user: str, command: tuple[str, ...]) -> None:
    assert guarded.may(user, *command)


@pytest.mark.parametrize(
    ("user", "command"),
    [(user, command) for user, list_ in MAY_NOT.items() for command in [*RUINOUS, *list_]],
)
def test_what_nobody_needs_is_refused(guarded: Guarded, user: str, command: tuple[str, ...]) -> None:
    assert not guarded.may(user, *command)


def test_the_file_names_each_user_once_and_holds_placeholders_only() -> None:
    secrets = [rule for rules in USERS.values() for rule in rules if rule.startswith((">", "#"))]

    assert secrets == [f">{user.upper()}_PASSWORD" for user in USERS if user != "default"]
