"""`byom lanes`: what waits and for what, and the ways to change that; on a real Valkey."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from config.connections import effective_chain, project_path, read_project, save_connection, save_project
from config.credentials import save_credential
from config.settings import Settings
from config.store import FileStore
from tasks.contract import ExtractionFailed
from tests.unit.cli.conftest import Byom
from workers.app import create_app
from workers.embedded.valkey import EmbeddedValkey
from workers.engine.routing import Route
from workers.lanes.control import Lanes

pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]


@pytest.fixture
def celery(valkey: EmbeddedValkey, home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """The pool's app on the broker that the commands use."""
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)
    with create_app(Settings(broker_url=SecretStr(valkey.url))) as celery:
        yield celery
        cast("Any", celery.backend).client.connection_pool.disconnect()


@pytest.fixture
def acme(store: FileStore) -> FileStore:
    """Project `acme` with a primary and a fallback."""
    scope = project_path("acme")
    save_project(store, "acme")
    for name, provider, role in (("main", "openai", "primary"), ("spare", "gemini", "fallback")):
        save_credential(store, scope, name, SecretStr("sk-secret-0815"))
        save_connection(
            store, scope, {"name": name, "provider": provider, "model": "m", "credential": name, "role": role}
        )
    return store


def put(celery: Celery, store: FileStore, *, priority: str = "live", task_id: str = "j1", **options: Any) -> Any:
    """Publish one job to the lane of its primary."""
    primary = effective_chain(store, "acme")[0]
    header = {
        "meter": primary.key,
        "tenant": primary.tenant,
        "project": "acme",
        "connection": "main",
        "priority": priority,
        "input": 1_500,
        "calls": 1,
        "patience": 600.0,
        "fallback": True,
        "weight": 1.0,
    }
    kwargs = {
        "job": {"project": "acme", "episodes": [{"id": "1", "content": "said"}]},
        "route": Route.to(primary).model_dump(mode="json"),
    }
    return celery.send_task(
        "extract.openai", kwargs=kwargs, headers={"byom": header}, task_id=task_id, queue="extract.openai", **options
    )


def listed(byom: Byom, *options: str) -> list[dict[str, Any]]:
    lanes: list[dict[str, Any]] = json.loads(byom("lanes", "list", "--json", *options).stdout)
    return lanes


def test_nothing_waits(byom: Byom, celery: Celery) -> None:
    result = byom("lanes", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "No job waits" in result.stderr
    assert listed(byom) == []


def test_lanes_are_listed_with_what_they_wait_for(
    byom: Byom, celery: Celery, acme: FileStore, valkey_client: redis.Redis
) -> None:
    primary = effective_chain(acme, "acme")[0]
    for number in range(3):
        put(celery, acme, task_id=f"j{number}")
    put(celery, acme, priority="backfill", task_id="slow")
    Lanes(valkey_client).pause(project="acme", priority="backfill")
    valkey_client.hset(f"byom:{{{primary.tenant}}}:meter:{primary.key}", "tpm_refill", 1_500)

    backfill, live = listed(byom)

    assert {**live, "oldest_age": 0} == {
        "queue": "extract.openai",
        "priority": "live",
        "tenant": "p/acme",
        "meter": primary.key,
        "project": "acme",
        "connection": "main",
        "depth": 3,
        "tokens": 6_000,
        "oldest_age": 0,
        "next_release": 0.0,
        "why": None,
        "paused": False,
        "weight": 1.0,
        "behind": 0,
        "refill": 1_500.0,
    }
    assert (backfill["depth"], backfill["paused"], backfill["why"], backfill["next_release"]) == (
        1,
        True,
        "paused",
        None,
    )
    assert [lane["priority"] for lane in listed(byom, "--priority", "live")] == ["live"]
    assert listed(byom, "--project", "other") == listed(byom, "--provider", "gemini") == []
    head, first, second = byom("lanes", "list").stdout.splitlines()
    assert head.split()[:7] == ["PROJECT", "CONNECTION", "CLASS", "PROVIDER", "JOBS", "BEHIND", "TOKENS"]
    assert sorted(line.split()[2:6] for line in (first, second)) == [
        ["backfill", "openai", "1", "2,000"],
        ["live", "openai", "3", "6,000"],
    ]


def test_watching_looks_again_and_again(
    byom: Byom, celery: Celery, acme: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        put(celery, acme)
        if len(seen := Lanes(redis.Redis.from_url(celery.conf.broker_url)).names()) and sleeps:
            raise KeyboardInterrupt
        sleeps.append(len(seen))

    sleeps: list[int] = []
    monkeypatch.setattr("workers.cli.lanes.time.sleep", sleep)

    result = byom("lanes", "list", "--watch", "1", "--json")
    assert result.exit_code == 130
    assert [len(json.loads(line)) for line in result.stdout.splitlines()] == [0, 1]

    assert byom("lanes", "list", "--watch", "1").exit_code == 130


def test_a_project_is_paused_and_resumed(
    byom: Byom, celery: Celery, acme: FileStore, valkey_client: redis.Redis
) -> None:
    put(celery, acme)

    assert "Paused project 'acme'; 1 of its jobs wait" in byom("lanes", "pause", "--project", "acme").stdout
    assert [lane["paused"] for lane in listed(byom)] == [True]
    resumed = json.loads(byom("lanes", "resume", "--project", "acme", "--json").stdout)
    assert resumed == {"project": "acme", "paused": False, "lanes": 1, "waiting": 1}
    assert [lane["paused"] for lane in listed(byom)] == [False]


def test_a_pause_is_not_forgotten_while_nothing_waits(byom: Byom, celery: Celery, acme: FileStore) -> None:
    byom("lanes", "pause", "--project", "acme", "--priority", "backfill")

    for options in ([], ["--project", "acme"]):
        assert "Paused: project 'acme' (backfill)" in byom("lanes", "list", *options).stderr
    assert "Paused" not in byom("lanes", "list", "--project", "other").stderr

    put(celery, acme, priority="backfill")
    assert "Paused" not in byom("lanes", "list").stderr
    byom("lanes", "resume", "--project", "acme")
    assert "Paused" not in byom("lanes", "list").stderr


def test_a_pause_of_a_project_that_is_not_there_is_made_and_doubted(
    byom: Byom, celery: Celery, acme: FileStore
) -> None:
    known, mistyped = byom("lanes", "pause", "--project", "acme"), byom("lanes", "pause", "--project", "amce", "--json")

    assert (known.stderr, mistyped.exit_code) == ("", 0)
    assert json.loads(mistyped.stdout)["paused"] is True
    assert "project 'amce' is not configured; is its name right?" in mistyped.stderr


def test_waits_are_ended(byom: Byom, celery: Celery, acme: FileStore, valkey_client: redis.Redis) -> None:
    put(celery, acme)
    [lane] = Lanes(valkey_client).names()
    valkey_client.zadd(lane.due, {f"meter\t{lane.meter_name}": valkey_client.time()[0] + 500})
    valkey_client.hset(lane.meter_state, "why", "credential")
    [waiting] = listed(byom)
    assert waiting["why"] == "credential"
    assert waiting["next_release"] == pytest.approx(500, abs=5)

    assert "Nothing waited" in byom("lanes", "wake", "--reason", "tokens").stdout
    assert json.loads(byom("lanes", "wake", "--reason", "credential", "--json").stdout) == {"ended": 1}
    assert listed(byom)[0]["why"] is None


def test_a_weight_is_kept_in_the_profile_and_holds_at_once(byom: Byom, celery: Celery, acme: FileStore) -> None:
    put(celery, acme)

    assert "weight 3 now" in byom("lanes", "weight", "3", "--project", "acme").stdout

    profile = read_project(acme, "acme")
    assert profile is not None
    assert (profile.weight, listed(byom)[0]["weight"]) == (3.0, 3.0)
    unknown = byom("lanes", "weight", "3", "--project", "nobody")
    assert unknown.exit_code == 2
    assert "no project 'nobody'" in unknown.stderr
    assert byom("lanes", "weight", "0", "--project", "acme").exit_code == 2


def test_draining_ends_every_waiting_job_as_cancelled(byom: Byom, celery: Celery, acme: FileStore) -> None:
    results = [put(celery, acme, task_id=f"j{number}") for number in range(3)]

    declined = byom("lanes", "drain", "--project", "acme", stdin="n\n")
    assert declined.exit_code == 1
    assert "3 jobs of project 'acme' wait" in declined.stderr
    assert byom("lanes", "drain", "--project", "acme", "--json").exit_code == 2
    assert len(listed(byom)) == 1

    assert "3 jobs of project 'acme' ended" in byom("lanes", "drain", "--project", "acme", "--yes").stdout
    assert listed(byom) == []
    for result in results:
        failure = result.result
        assert isinstance(failure, ExtractionFailed)
        assert "ended by an operator" in failure.message
        assert failure.details["code"] == "cancelled"


def test_draining_tells_error_callbacks(
    byom: Byom, celery: Celery, acme: FileStore, valkey_client: redis.Redis
) -> None:
    put(celery, acme, link_error=celery.signature("their.errback", queue="byom.extract"))

    byom("lanes", "drain", "--project", "acme", "--yes")

    [told] = valkey_client.lrange("byom.extract", 0, -1)
    assert isinstance(told, bytes)
    assert json.loads(told)["headers"]["task"] == "their.errback"


def test_moving_sends_jobs_to_the_lane_of_another_connection(
    byom: Byom, celery: Celery, acme: FileStore, valkey_client: redis.Redis
) -> None:
    put(celery, acme, task_id="j1", link=celery.signature("their.callback"))

    moved = byom("lanes", "move", "--project", "acme", "--from", "main", "--to", "spare", "--yes", "--json")

    assert json.loads(moved.stdout) == {"project": "acme", "from": "main", "to": "spare", "moved": 1}
    [lane] = listed(byom)
    assert (lane["queue"], lane["connection"], lane["meter"]) == (
        "extract.gemini",
        "spare",
        effective_chain(acme, "acme")[1].key,
    )
    with celery.connection_for_read() as connection:
        message: Any = cast("Any", connection.default_channel).basic_get("extract.gemini")
        _args, kwargs, embedded = message.decode()
        message.ack()
    assert (message.headers["id"], message.headers["task"]) == ("j1", "extract.gemini")
    assert "'provider': 'gemini'" in message.headers["kwargsrepr"]
    assert (kwargs["route"]["connection"], kwargs["route"]["history"]) == ("spare", [])
    assert embedded["callbacks"][0]["task"] == "their.callback"
    assert not valkey_client.exists("byom.unacked")


def test_what_cannot_be_moved_stays(byom: Byom, celery: Celery, acme: FileStore) -> None:
    put(celery, acme)
    wrong = byom("lanes", "move", "--project", "acme", "--from", "main", "--to", "nowhere", "--yes")
    assert wrong.exit_code == 2
    assert "has no connection 'nowhere'; it has: main, spare" in wrong.stderr
    same = byom("lanes", "move", "--project", "acme", "--from", "main", "--to", "main", "--yes")
    assert same.exit_code == 2

    primary = effective_chain(acme, "acme")[0]
    header = {
        "meter": primary.key,
        "tenant": primary.tenant,
        "project": "acme",
        "priority": "live",
        "input": 1,
        "calls": 1,
        "patience": 60,
    }
    celery.send_task("other.task", headers={"byom": header}, queue="extract.openai")
    stuck = byom("lanes", "move", "--project", "acme", "--from", "main", "--to", "spare", "--yes")

    assert stuck.exit_code == 1
    assert "it is still there" in stuck.stderr
    assert {lane["queue"]: lane["depth"] for lane in listed(byom)} == {"extract.gemini": 1, "extract.openai": 1}
