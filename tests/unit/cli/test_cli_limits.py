"""`byom limits`: what it shows, what it sets, and that it counts at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import redis.asyncio

from config.connections import (
    EffectiveConnection,
    account_path,
    effective_chain,
    project_path,
    save_connection,
    save_project,
)
from config.store import FileStore
from tasks.contract import TokenUsage
from tests.unit.cli.conftest import Byom
from workers.admission import Demand, Observation, RedisAdmission, Refusal
from workers.alerts import MemoryAlerts
from workers.embedded.valkey import EmbeddedValkey

_T = TypeVar("_T")
CALL = Demand(input_tokens=99, max_output_tokens=1)


@pytest.fixture
def limits(byom: Byom, valkey: EmbeddedValkey, store: FileStore) -> Callable[..., Any]:
    """Runs `byom limits`; there is a project of an account."""
    primary = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    save_connection(store, account_path("corp"), {**primary, "tpm_capacity": 6_000, "tpm_refill_per_second": 100})
    for project in ("acme", "initech"):
        save_project(store, project, account="corp")
    save_connection(store, project_path("initech"), {**primary, "name": "own", "role": "fallback"})
    return lambda *words: byom("--broker-url", valkey.url, "limits", *words)


def link(store: FileStore, project: str = "acme") -> EffectiveConnection:
    return effective_chain(store, project)[0]


def ask(valkey: EmbeddedValkey, work: Callable[[RedisAdmission], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with redis.asyncio.Redis.from_url(valkey.url) as client:
            return await work(RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=60))

    return asyncio.run(run())


def shown(limits: Callable[..., Any], *words: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(limits("show", *words, "--json").stdout)
    return documents


def test_a_meter_that_nobody_used_shows_what_is_in_the_configuration(limits: Callable[..., Any]) -> None:
    result = limits("show")

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert "6,000" in lines[1]


def test_what_is_under_way_and_what_was_learned_is_shown(
    limits: Callable[..., Any], valkey: EmbeddedValkey, store: FileStore
) -> None:
    ask(valkey, lambda admission: admission.admit(link(store), CALL))

    [document] = shown(limits, "--project", "acme")

    assert (document["project"], document["connection"], document["in_flight"]) == ("acme", "primary", 1)
    assert (document["reserved_tokens"], document["breaker"], document["blocked_by"]) == (100, "closed", None)
    assert document["tokens"]["per_minute"] == 6_000
    assert document["tokens"]["learned_per_minute"] == 6_000
    assert {row["period"] for row in document["spends"]} == {"day", "month"}
    assert limits("show", "-p", "acme").stdout.splitlines()[1].split()[:2] == ["acme", "primary"]


def test_a_limit_counts_at_once_for_workers_that_have_not_read_it_yet(
    limits: Callable[..., Any], valkey: EmbeddedValkey, store: FileStore
) -> None:
    stale = link(store)
    ask(valkey, lambda admission: admission.admit(stale, CALL))

    result = limits("set", "--account", "corp", "--connection", "primary", "--tpm", "120", "--rpm", "600")

    assert result.exit_code == 0
    assert "from their next call on" in result.stdout
    last = Demand(input_tokens=118, max_output_tokens=1)
    assert not isinstance(ask(valkey, lambda admission: admission.admit(stale, last)), Refusal)
    refusal = ask(valkey, lambda admission: admission.admit(stale, CALL))
    assert isinstance(refusal, Refusal)
    [document] = shown(limits, "--project", "acme")
    assert (document["tokens"]["capacity"], document["requests"]["per_minute"]) == (120, 600)


def test_what_is_set_is_saved_and_the_rest_of_the_connection_stays(
    limits: Callable[..., Any], store: FileStore
) -> None:
    limits("set", "-p", "initech", "-c", "own", "--tpm", "600", "--burst", "50", "--output-tpm", "60", "--rpm", "6")
    limits("set", "-p", "initech", "-c", "own", "--max-concurrency", "3")
    connection = effective_chain(store, "initech")[1].connection

    assert (connection.tpm_capacity, connection.tpm_refill_per_second) == (50, 10)
    assert (connection.output_tpm_capacity, connection.output_tpm_refill_per_second) == (60, 1)
    assert (connection.rpm_capacity, connection.max_concurrency, connection.credential) == (6, 3, "key")


def test_nought_lifts_a_limit(limits: Callable[..., Any], store: FileStore) -> None:
    limits("set", "-p", "initech", "-c", "own", "--output-tpm", "60", "--rpm", "6", "--max-concurrency", "3")
    limits("set", "-p", "initech", "-c", "own", "--output-tpm", "0", "--rpm", "0", "--max-concurrency", "0")
    connection = effective_chain(store, "initech")[1].connection

    assert (connection.output_tpm_capacity, connection.rpm_capacity, connection.max_concurrency) == (None, None, None)


def test_a_project_that_limits_what_it_inherits_gets_a_meter_of_its_own(
    limits: Callable[..., Any], store: FileStore
) -> None:
    assert link(store, "acme").key == link(store, "initech").key

    result = limits("set", "--project", "acme", "--connection", "primary", "--tpm", "60", "--json")

    assert json.loads(result.stdout) == {
        "scope": "/byom/projects/acme",
        "connection": "primary",
        "tpm_capacity": 60,
        "tpm_refill_per_second": 1.0,
        "in_force": True,
    }
    assert link(store, "acme").connection.tpm_capacity == 60
    assert link(store, "initech").connection.tpm_capacity == 6_000
    assert link(store, "acme").key != link(store, "initech").key


@pytest.mark.parametrize(
    "words",
    [
        ("--project", "acme", "--connection", "nowhere", "--tpm", "5"),
        ("--account", "corp", "--connection", "own", "--tpm", "5"),
        ("--project", "nobody", "--connection", "primary", "--tpm", "5"),
        ("--connection", "primary", "--tpm", "5"),
        ("--project", "acme", "--connection", "primary"),
        ("--project", "acme", "--connection", "primary", "--tpm", "0"),
    ],
    ids=[
        "no such connection",
        "not the account's",
        "no such project",
        "nobody's",
        "nothing to set",
        "no tokens at all",
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    limits: Callable[..., Any], store: FileStore, words: tuple[str, ...]
) -> None:
    before = list(store.list("/byom"))

    assert limits("set", *words).exit_code == 2
    assert list(store.list("/byom")) == before


async def _refused(admission: RedisAdmission, effective: EffectiveConnection) -> None:
    """A call for which the vendor refuses leave: the meter learns less than is declared, and waits."""
    lease = await admission.admit(effective, CALL)
    assert not isinstance(lease, Refusal)
    await lease.settle(Observation(usage=TokenUsage(), rate_limited=True, retry_after=600))


@pytest.mark.parametrize("words", [("--project", "acme"), ("--account", "corp")], ids=["project", "account"])
def test_what_was_learned_and_what_holds_back_is_forgotten_on_request(
    limits: Callable[..., Any], valkey: EmbeddedValkey, store: FileStore, words: tuple[str, ...]
) -> None:
    ask(valkey, lambda admission: _refused(admission, link(store)))
    [before] = shown(limits, "--project", "acme")

    result = limits("reset", *words, "--connection", "primary", "--json")

    [after] = shown(limits, "--project", "acme")
    assert json.loads(result.stdout)["meter"] == link(store).key
    assert (before["blocked_by"], after["blocked_by"]) == ("retry_after", None)
    assert before["tokens"]["learned_per_minute"] < 6_000 == after["tokens"]["learned_per_minute"]
    assert "Reset what was learned" in limits("reset", *words, "--connection", "primary").stdout


def test_limits_of_a_connection_that_is_not_there_are_not_reset(limits: Callable[..., Any]) -> None:
    result = limits("reset", "--account", "corp", "--connection", "own")

    assert result.exit_code == 2
    assert "has no connection 'own'" in result.stderr


def test_without_redis_the_limit_is_saved_and_the_command_says_who_does_not_know(
    limits: Callable[..., Any], byom: Byom, store: FileStore
) -> None:
    away = ("--broker-url", "redis://127.0.0.1:1/0", "limits")
    result = byom(*away, "set", "--project", "acme", "--connection", "primary", "--tpm", "60")

    assert result.exit_code == 0
    assert "does not answer" in result.stderr
    assert link(store).connection.tpm_capacity == 60
    assert byom(*away, "show").exit_code == 3
    assert byom(*away, "reset", "--project", "acme", "--connection", "primary").exit_code == 3
