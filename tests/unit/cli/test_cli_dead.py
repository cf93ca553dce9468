"""`byom dead`: what is shown of jobs that failed, and what becomes of them; on a real Valkey."""

import asyncio
import base64
import json
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import FileStore
from tasks.contract import FailureCode
from tests.support import START
from tests.unit.cli.conftest import Byom
from tests.unit.dead.conftest import TEXT, Bench, attempt, configure, failed, in_part
from workers.broker.unacked import KEYS
from workers.dead.sealing import Sealing
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Lanes

pytestmark = [
    pytest.mark.integration,
    # Celery's result store uses it.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

KEY = os.urandom(32)

Seed = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def seed(valkey: EmbeddedValkey, valkey_client: redis.Redis, home: Path, monkeypatch: pytest.MonkeyPatch) -> Seed:
    """Lets jobs fail on the broker that the commands use. They did long ago, so nothing is too old for commands."""
    monkeypatch.setenv("BYOM_BROKER_URL", valkey.url)
    monkeypatch.setenv("BYOM_DEAD_LETTER_TTL", str(100 * 365 * 86_400))

    def run(steps: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with redis.asyncio.Redis.from_url(valkey.url) as client:
                await steps(Bench(client=client, sync=valkey_client))

        asyncio.run(main())

    return run


@pytest.fixture
def outage(seed: Seed) -> None:
    """What a bad night leaves: two projects, three causes, one job done in part."""

    async def steps(bench: Bench) -> None:
        configure(bench.store)
        await bench.jobs.settle(attempt("a1", version=1))
        await bench.end("a1", failed(FailureCode.CREDENTIAL_REJECTED), labels={"backfill": "spring"})
        await bench.jobs.settle(attempt("a2", version=2))
        await bench.end("a2", failed(FailureCode.CREDENTIAL_REJECTED))
        await bench.end("a3", failed(FailureCode.PROVIDER_UNAVAILABLE), priority="backfill")
        await bench.end("a4", in_part("a4", FailureCode.PROVIDER_UNAVAILABLE))
        await bench.end("g1", failed(FailureCode.RATE_LIMITED, connection="other"), project="globex")

    seed(steps)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def ids(byom: Byom, *options: str) -> list[str]:
    return [document["job_id"] for document in lines(byom("dead", "list", "--json", *options).stdout)]


def test_nobody_is_dead(byom: Byom, seed: Seed) -> None:
    for words in (["list"], ["list", "--by", "cause"]):
        result = byom("dead", *words)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "No job is dead." in result.stderr
    assert ids(byom) == []


def test_nobody_is_dead_of_those_that_are_selected(byom: Byom, outage: None) -> None:
    for words in (["list"], ["list", "--by", "cause"]):
        result = byom("dead", *words, "--project", "nope")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "No job is dead, of those that are selected." in result.stderr


def test_the_newest_are_shown_first_and_never_what_was_said(byom: Byom, outage: None) -> None:
    table = byom("dead", "list").stdout

    assert [line.split()[2] for line in table.splitlines()[1:]] == ["g1", "a4", "a3", "a2", "a1"]
    assert "credential_rejected" in table
    assert "main@2" in table
    assert TEXT not in table
    assert "more than these 2" in byom("dead", "list", "--limit", "2").stderr
    assert ids(byom, "--limit", "2") == ["g1", "a4"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--project", "acme"], ["a4", "a3", "a2", "a1"]),
        (["--cause", "credential_rejected"], ["a2", "a1"]),
        (["--cause", "rate_limited, provider_unavailable"], ["g1", "a4", "a3"]),
        (["--credential", "main"], ["a4", "a3", "a2", "a1"]),
        (["--credential", "main@1"], ["a4", "a3", "a1"]),
        (["--credential", "main@2"], ["a2"]),
        (["--connection", "other"], ["g1"]),
        (["--provider", "openai", "--project", "globex"], ["g1"]),
        (["--provider", "gemini"], []),
        (["--label", "backfill:spring"], ["a1"]),
        (["--label", "backfill:autumn"], []),
        (["--status", "partial"], ["a4"]),
        (["--status", "failed", "--project", "globex"], ["g1"]),
        (["--id", "a1", "--id", "g1", "--id", "nobody"], ["a1", "g1"]),
        (["--id", "a1", "--project", "globex"], []),
        (["--since", (START + timedelta(seconds=3)).isoformat()], ["g1", "a4", "a3"]),
        (["--until", (START + timedelta(seconds=3)).isoformat()], ["a2", "a1"]),
    ],
    ids=" ".join,
)
def test_letters_are_selected(byom: Byom, outage: None, options: list[str], found: list[str]) -> None:
    assert ids(byom, *options) == found


@pytest.mark.parametrize(
    ("group", "counts"),
    [
        ("cause", {"provider_unavailable": 2, "credential_rejected": 2, "rate_limited": 1}),
        ("project", {"acme": 4, "globex": 1}),
        ("credential", {"main@1": 3, "main@2": 1, "": 1}),
        ("connection", {"primary": 4, "other": 1}),
        ("provider", {"openai": 4, "": 1}),
        ("day", {"2026-11-23": 5}),
        ("hour", {"2026-11-23T12:00Z": 5}),
    ],
)
def test_letters_are_counted(byom: Byom, outage: None, group: str, counts: dict[str, int]) -> None:
    documents = lines(byom("dead", "list", "--by", group, "--json").stdout)

    assert {document[group]: document["jobs"] for document in documents} == counts
    assert str(max(counts.values())) in byom("dead", "list", "--by", group).stdout


def test_what_is_no_selection_is_refused(byom: Byom, seed: Seed) -> None:
    for options, says in {
        ("--cause", "bad_luck"): "there is no cause 'bad_luck'",
        ("--credential", "@3"): "write NAME, or NAME@VERSION",
        ("--label", "spring"): "write a label as NAME:VALUE",
        ("--by", "moon"): "--by takes one of: cause",
    }.items():
        result = byom("dead", "list", *options)
        assert (result.exit_code, says in result.stderr.replace("\n", " ")) == (2, True), result.stderr
    for command in ("replay", "discard"):
        for words in ([], ["--all", "--project", "acme"]):
            result = byom("dead", command, *words, "--yes")
            assert (result.exit_code, "say which letters" in result.stderr) == (2, True)


def test_one_letter_is_shown_with_its_calls_and_what_was_said_only_when_asked(byom: Byom, outage: None) -> None:
    shown = byom("dead", "show", "a1").stdout
    for word in ("credential_rejected", "main@1", "spring", "1.1.1", "in the clear"):
        assert word in shown
    assert TEXT not in shown

    assert TEXT in byom("dead", "show", "a1", "--payload").stdout
    [document] = lines(byom("dead", "show", "a1", "--json").stdout)
    assert (document["job_id"], document["history"][0]["attempt"], "job" in document) == ("a1", "1.1.1", False)
    [document] = lines(byom("dead", "show", "a1", "--payload", "--json").stdout)
    assert document["job"]["episodes"][0]["content"] == TEXT
    assert "bad1 (provider_unavailable)" in byom("dead", "show", "a4").stdout
    assert "No call was made for it." in byom("dead", "show", "g1").stdout

    missing = byom("dead", "show", "nobody", "--json")
    assert (missing.exit_code, "no dead letter of job 'nobody'" in missing.stderr) == (1, True)


def test_without_its_key_a_letter_is_shown_as_far_as_it_can_be(
    byom: Byom, seed: Seed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def steps(bench: Bench) -> None:
        await bench.end("j", failed(), writer=bench.writer(sealing=Sealing(KEY)))

    seed(steps)
    shown = byom("dead", "show", "j")
    assert (shown.exit_code, "encrypted with key" in shown.stdout) == (0, True)
    assert byom("dead", "show", "j", "--payload").exit_code == 1
    assert lines(byom("dead", "show", "j", "--json").stdout)[0]["encrypted"] is True
    assert byom("dead", "export").exit_code == 1
    stays = byom("dead", "replay", "--all", "--yes")
    assert (stays.exit_code, "is not in BYOM_DEAD_LETTER_KEY" in stays.stderr.replace("\n", " ")) == (1, True)

    monkeypatch.setenv("BYOM_DEAD_LETTER_KEY", base64.b64encode(KEY).decode())
    assert TEXT in byom("dead", "show", "j", "--payload").stdout
    assert byom("dead", "export").exit_code == 0


def test_letters_are_exported_with_what_was_said_only_when_asked(byom: Byom, outage: None, tmp_path: Path) -> None:
    without = byom("dead", "export", "--project", "acme")
    assert [document["job_id"] for document in lines(without.stdout)] == ["a1", "a2", "a3", "a4"]
    assert TEXT not in without.stdout
    assert "Wrote 4 failed jobs." in without.stderr

    file = tmp_path / "failed.jsonl"
    written = byom("dead", "export", "--payload", "--out", str(file), "--json")
    assert lines(written.stdout) == [{"written": 5, "unread": 0}]
    documents = lines(file.read_text(encoding="utf-8"))
    assert [document["job"]["episodes"][0]["content"] for document in documents] == [TEXT] * 5
    assert file.stat().st_mode & 0o077 == 0
    assert byom("dead", "export", "--out", str(tmp_path)).exit_code == 2


def test_a_dry_run_says_how_many_and_does_nothing(byom: Byom, outage: None) -> None:
    for command in ("replay", "discard"):
        result = byom("dead", command, "--project", "acme", "--dry-run", "--json")
        assert lines(result.stdout) == [{"jobs": 4, "causes": {"credential_rejected": 2, "provider_unavailable": 2}}]
        assert "4 jobs would be" in byom("dead", command, "--project", "acme", "--dry-run").stdout
    assert len(ids(byom)) == 5


def test_nothing_is_done_before_somebody_says_yes(byom: Byom, outage: None) -> None:
    for command in ("replay", "discard"):
        asked = byom("dead", command, "--all", stdin="n\n")
        assert (asked.exit_code, "5 failed jobs?" in asked.stderr) == (1, True)
        assert byom("dead", command, "--all", "--json").exit_code == 2
    assert len(ids(byom)) == 5


def test_letters_are_thrown_away(byom: Byom, outage: None, valkey_client: redis.Redis) -> None:
    assert lines(byom("dead", "discard", "--cause", "rate_limited", "--yes", "--json").stdout) == [{"discarded": 1}]
    assert "Threw away 1 failed jobs." in byom("dead", "discard", "--project", "acme", "--limit", "1", "--yes").stdout
    assert ids(byom) == ["a4", "a3", "a2"]
    assert byom("dead", "discard", "--all", "--yes").exit_code == 0
    assert ids(byom) == []
    assert valkey_client.keys("byom:dead:*") == []


@pytest.fixture
def acme(store: FileStore) -> None:
    scope = project_path("acme")
    save_project(store, "acme")
    save_credential(store, scope, "main", SecretStr("sk-secret-0815"))
    save_connection(store, scope, {"name": "primary", "provider": "openai", "model": "m", "credential": "main"})


def test_letters_are_replayed_as_far_as_their_projects_can_take_them(
    byom: Byom, outage: None, acme: None, valkey_client: redis.Redis
) -> None:
    result = byom("dead", "replay", "--all", "--yes", "--json")

    [report] = lines(result.stdout)
    assert result.exit_code == 1
    assert {name: report[name] for name in ("replayed", "under_way", "over", "left")} == {
        "replayed": 4,
        "under_way": 0,
        "over": 0,
        "left": 1,
    }
    [reason] = report["reasons"]
    assert "globex" in reason
    assert Lanes(valkey_client).waiting("acme") == 4
    assert {document["job_id"]: document["state"] for document in lines(byom("dead", "list", "--json").stdout)} == {
        "a1": "replayed",
        "a2": "replayed",
        "a3": "replayed",
        "a4": "replayed",
        "g1": "dead",
    }

    again = byom("dead", "replay", "--project", "acme", "--yes")
    assert (again.exit_code, "No job is dead" in again.stderr) == (0, True)
    assert "4 jobs are on their way again" in byom("dead", "replay", "--project", "acme", "--again", "--yes").stdout


def test_a_replay_may_be_of_some_and_in_the_other_class(
    byom: Byom, outage: None, acme: None, valkey_client: redis.Redis
) -> None:
    words = ("--project", "acme", "--limit", "2", "--priority", "backfill")
    result = byom("dead", "replay", *words, stdin="y\n")

    assert (result.exit_code, "2 jobs are on their way again" in result.stdout) == (0, True)
    assert "credential_rejected: 2" in result.stderr
    [lane] = Lanes(valkey_client).names()
    assert (lane.priority, Lanes(valkey_client).waiting("acme")) == ("backfill", 2)


def test_what_else_there_is_to_know_is_said(byom: Byom, outage: None, valkey_client: redis.Redis) -> None:
    valkey_client.hset("byom:dead:dropped", "limit", 7)
    valkey_client.lpush(KEYS.malformed, "?")

    remarks = byom("dead", "list").stderr.replace("\n", " ")

    assert "7 failed jobs were dropped" in remarks
    assert "1 messages that no worker can read are set aside in the list byom.malformed" in remarks


def test_a_broker_that_is_away_is_said_to_be(byom: Byom, home: Path) -> None:
    for words in (["list"], ["show", "j"], ["export"], ["replay", "--all", "--yes"], ["discard", "--all", "--yes"]):
        assert byom("dead", *words).exit_code == 3
