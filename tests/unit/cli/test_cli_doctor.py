"""Each check of the doctor: what it takes for well, and what it says otherwise."""

import json
from datetime import date
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest
from pydantic import SecretStr

from config.catalogue import Catalogue, ModelFacts, ReasoningOff
from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import MemoryStore
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ProviderKind
from tests.unit.cli.conftest import Byom
from workers.broker.transport import Channel
from workers.cli.checks import Status, broker, consumers, flower, local, projects
from workers.lanes.control import Lanes

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(("version", "status"), [((3, 10, 9), FAIL), ((3, 11, 0), OK), ((3, 14, 1), OK)])
def test_python(version: tuple[int, int, int], status: Status) -> None:
    assert local.check_python(version).status is status


def test_packages_are_compared_with_what_the_workers_need() -> None:
    installed = {"old": "1.0", "new": "2.5"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    needs = ["old>=2", "new>=2.1", "absent", 'extra>=1; extra == "dev"']
    checks = {check.name: check for check in local.check_packages(requirements=lambda _: needs, installed=version)}

    assert {name: check.status for name, check in checks.items()} == {
        "package old": FAIL,
        "package absent": FAIL,
        "packages": OK,
    }
    assert checks["packages"].found == "new 2.5"


def test_the_packages_of_this_installation_fit() -> None:
    assert {check.status for check in local.check_packages()} == {OK}


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"redis_version": "6.2.14"}, FAIL),
        ({"redis_version": "7.0.15"}, OK),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.9"}, FAIL),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.1"}, OK),
        ({"redis_version": "255.255.255"}, OK),
    ],
)
def test_version(info: dict[str, Any], status: Status) -> None:
    assert broker.check_version(info).status is status


@pytest.mark.parametrize(
    ("policy", "limit", "status"),
    [("noeviction", 0, OK), ("noeviction", 2**30, OK), ("allkeys-lru", 0, WARN), ("allkeys-lru", 2**30, FAIL)],
)
def test_eviction(policy: str, limit: int, status: Status) -> None:
    check = broker.check_eviction({"maxmemory_policy": policy, "maxmemory": limit})

    assert check.status is status
    assert (check.mend == "") is (status is OK)


@pytest.mark.parametrize(
    ("info", "saves", "status"),
    [
        ({"aof_enabled": 1}, "", OK),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "", FAIL),
        ({"aof_enabled": 0}, "3600 1", WARN),
        ({"aof_enabled": 0}, "", WARN),
        ({"aof_enabled": 0}, None, WARN),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, "3600 1", FAIL),
    ],
)
def test_persistence(info: dict[str, Any], saves: str | None, status: Status) -> None:
    assert broker.check_persistence(info, saves=saves).status is status


class Clock:
    """A server's clock, and what lies between asking it and the answer."""

    def __init__(self, *, ahead: float, round_trip: float) -> None:
        self._server = 1_000_000.5 - ahead
        self._times = iter([1_000_000.5 - round_trip / 2, 1_000_000.5 + round_trip / 2])

    def time(self) -> tuple[int, int]:
        return divmod(round(self._server * 1_000_000), 1_000_000)

    def now(self) -> float:
        return next(self._times)


@pytest.mark.parametrize(
    ("ahead", "round_trip", "status"),
    [
        (0.0, 0.01, OK),
        (1.9, 0.01, OK),
        (-3.0, 0.01, WARN),
        (20.0, 0.01, FAIL),
        (-20.0, 0.01, FAIL),
        (3.0, 4.0, OK),
    ],
)
def test_clock(ahead: float, round_trip: float, status: Status) -> None:
    clock = Clock(ahead=ahead, round_trip=round_trip)

    assert broker.check_clock(clock, now=clock.now).status is status  # type: ignore[arg-type]  # all that it asks


def served(*queues: str) -> dict[str, list[dict[str, Any]]]:
    return {"byom@host": [{"name": queue} for queue in queues]}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, FAIL),
        ({}, FAIL),
        (served(ENTRY_QUEUE, "extract.openai"), OK),
        (served("extract.openai"), FAIL),
        (served(ENTRY_QUEUE, "extract.anthropic"), FAIL),
        ({"a@host": [{"name": ENTRY_QUEUE}], "b@host": [{"name": "extract.openai"}]}, OK),
    ],
)
def test_every_queue_in_use_needs_a_worker(answer: dict[str, list[dict[str, Any]]] | None, status: Status) -> None:
    assert consumers.check_consumers(answer, {ProviderKind.OPENAI}).status is status


def message(task: str) -> str:
    return json.dumps({"body": "secret-canary", "headers": {"task": task}, "properties": {}})


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([], OK),
        ([message("theirs.add")], OK),
        ([message("theirs.add"), message(EXTRACT_TASK)], FAIL),
        (["no json", "[]", '{"headers": null}'], OK),
    ],
)
def test_jobs_in_celerys_default_queue_are_noticed(messages: list[str], status: Status) -> None:
    client = fakeredis.FakeRedis()
    for text in messages:
        client.lpush("celery", text)

    check = consumers.check_strays(client)

    assert check.status is status
    assert "secret-canary" not in check.found
    if status is FAIL:
        assert f'queue="{ENTRY_QUEUE}"' in check.mend


def test_waiting_jobs_and_messages_in_hand_are_counted() -> None:
    client = fakeredis.FakeRedis()
    client.rpush("extract.openai", "a", "b")
    seconds, _micros = client.time()
    client.zadd(Channel.unacked_index_key, {"fresh": seconds, "late": seconds - 100})
    client.rpush(Channel.malformed_key, "x")

    depth, in_hand, malformed = consumers.check_depths(client, unrenewed_for=60)

    assert depth.found == "extract.openai 2"
    assert (in_hand.status, "1 of 2" in in_hand.found) == (WARN, True)
    assert (malformed.status, malformed.found.split()[0]) == (WARN, "1")


def test_a_project_that_is_paused_is_noticed() -> None:
    client = fakeredis.FakeRedis()
    Lanes(client).pause(project="acme")
    Lanes(client).pause(project="other", priority="backfill")

    _, acme, other, _ = consumers.check_depths(client, unrenewed_for=60)

    assert (acme.status, acme.found.split(":")[0]) == (WARN, "project 'acme'")
    assert other.found.startswith("project 'other' (backfill):")
    assert "byom lanes resume --project other" in other.mend


def facts(ends: date | None) -> Catalogue:
    model = ModelFacts(
        provider=ProviderKind.OPENAI, id="m", context=1, max_output=1, reasoning=ReasoningOff.NOT_NEEDED, ends=ends
    )
    return Catalogue([model])


def configured(*, fallback: bool = True, key: bool = True) -> MemoryStore:
    store = MemoryStore()
    save_project(store, "acme")
    scope = project_path("acme")
    if key:
        save_credential(store, scope, "key", SecretStr("sk-canary"))
    primary = {"name": "primary", "provider": "openai", "model": "m", "credential": "key"}
    save_connection(store, scope, primary)
    if fallback:
        server = {"provider": "openai_compatible", "model": "x", "base_url": "http://127.0.0.1:1/v1"}
        save_connection(store, scope, {"name": "fallback", "role": "fallback", **server})
    return store


@pytest.mark.parametrize(
    ("store", "ends", "statuses"),
    [
        (configured(), None, {OK}),
        (configured(fallback=False), None, {WARN}),
        (configured(), date(2027, 12, 1), {OK}),
        (configured(), date(2027, 1, 14), {OK, WARN}),
        (configured(), date(2026, 11, 22), {OK, FAIL}),
        (configured(key=False), None, {OK, FAIL}),
        (MemoryStore(), None, {FAIL}),
    ],
    ids=["well", "no fallback", "ends late", "ends soon", "ended", "no key", "unknown"],
)
def test_projects(store: MemoryStore, ends: date | None, statuses: set[Status]) -> None:
    _providers, checks = projects.check_project(store, "acme", catalogue=facts(ends), today=TODAY)

    assert {check.status for check in checks} == statuses
    assert all(check.mend for check in checks if check.status is not OK)


def test_the_providers_of_a_project_are_those_of_its_whole_chain() -> None:
    used, _checks = projects.check_project(configured(), "acme", catalogue=facts(None), today=TODAY)

    assert used == {ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE}


def test_a_provider_that_this_version_cannot_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cli.checks.projects.build_providers", dict)

    _providers, checks = projects.check_project(configured(), "acme", catalogue=facts(None), today=TODAY)

    assert FAIL in {check.status for check in checks}


def test_a_store_that_others_can_read_fails(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o644)

    store, check = projects.check_store(f"file:{path}")

    assert (store, check.status) == (None, FAIL)
    assert "chmod 600" in check.found


@pytest.mark.parametrize(("url", "status"), [("memory:", WARN), ("file:empty.json", WARN), ("nonsense", FAIL)])
def test_stores(home: Path, url: str, status: Status) -> None:
    assert projects.check_store(url)[1].status is status


def flower_at(status: int | None) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        if status is None:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(status)

    return httpx.Client(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "url", "environ", "expected"),
    [
        (None, "http://127.0.0.1:5555", {}, OK),
        (200, "http://127.0.0.1:5555", {}, OK),
        (200, "http://localhost:5555", {}, OK),
        (200, "https://flower.example.com", {}, FAIL),
        (401, "https://flower.example.com", {}, OK),
        (302, "https://flower.example.com", {}, OK),
        (401, "https://flower.example.com", {"FLOWER_UNAUTHENTICATED_API": "true"}, FAIL),
        (200, "http://127.0.0.1:5555", {"FLOWER_UNAUTHENTICATED_API": "1"}, WARN),
    ],
)
def test_flower(status: int | None, url: str, environ: dict[str, str], expected: Status) -> None:
    assert flower.check_flower(flower_at(status), url, environ=environ).status is expected


def test_a_broker_that_does_not_answer_fails_and_the_rest_is_still_checked(
    byom: Byom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_BROKER_URL", "redis://:secret-canary@127.0.0.1:1/0")

    result = byom("doctor", "--flower-url", "http://127.0.0.1:1", "--json")

    report = json.loads(result.stdout)
    statuses = {check["name"]: check["status"] for check in report["checks"]}
    assert result.exit_code == 1
    assert (statuses["broker"], statuses["settings"], statuses["flower"]) == ("fail", "ok", "ok")
    assert report["fail"] == 1
    assert "secret-canary" not in result.output


def test_settings_that_do_not_fit_are_a_failure_with_their_name(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOM_CONCURRENCY", "0")

    result = byom("doctor")

    assert result.exit_code == 1
    assert "BYOM_CONCURRENCY" in result.stdout
