"""What every command that changes something leaves behind: its record, and its notice to the workers."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from config.store import FileStore
from tests.unit.cli.conftest import Byom
from workers.configuration.changes import CHANGES_KEY
from workers.embedded.valkey import EmbeddedValkey

OPENAI = ("--provider", "openai", "--model", "gpt-6-luna", "--key-env", "KEY", "--no-verify")
SECRET = "sk-canary-records-31f7"


@pytest.fixture(autouse=True)
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    monkeypatch.setenv("BYOM_ACTOR", "ada@desk")


def records(home: Path) -> list[tuple[str, str, str]]:
    lines = (home / ".byom" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines[1:]]
    assert {document["outcome"] for document in documents} <= {"done"}
    return [(document["action"], document["scope"], document["subject"]) for document in documents]


def test_each_command_leaves_a_record_of_each_thing_that_it_changed(byom: Byom, home: Path, store: FileStore) -> None:
    acme, corp = "/byom/projects/acme", "/byom/accounts/corp"
    file = home / "byom.yaml"

    commands = [
        ("connection", "add", "-p", "acme", *OPENAI),
        ("connection", "add", "--account", "corp", *OPENAI),
        ("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=500"),
        ("project", "set", "-p", "acme", "--weight", "2"),
        ("limits", "set", "-p", "acme", "-c", "primary", "--rpm", "60"),
        ("config", "export", "--output", str(file)),
        ("config", "apply", str(file)),
        ("store", "reencrypt", "--account", "corp"),
        ("account", "set-kms", "--account", "corp", "--none"),
        ("store", "copy", "--from", "file:.byom/store.json", "--to", f"file:{home}/copy.json"),
        ("connection", "remove", "--account", "corp", "--name", "primary", "--yes"),
        ("project", "remove", "-p", "acme", "--yes"),
    ]
    assert [byom(*command).exit_code for command in commands] == [0] * len(commands)

    credential = [("credential.add", "credentials/primary"), ("credential.activate", "credentials/primary")]
    assert records(home) == [
        *((action, acme, subject) for action, subject in credential),
        ("connection.save", acme, "connections/primary"),
        ("project.save", acme, "profile"),
        *((action, corp, subject) for action, subject in credential),
        ("connection.save", corp, "connections/primary"),
        ("connection.save", acme, "connections/primary"),
        ("project.save", acme, "profile"),
        ("connection.save", acme, "connections/primary"),
        ("account.reencrypt", corp, "secrets"),
        ("account.save", corp, "profile"),
        ("store.copy", "/byom", "store"),
        ("connection.remove", corp, "connections/primary"),
        ("credential.delete", corp, "credentials/primary"),
        ("project.remove", acme, "project"),
    ]
    assert SECRET not in (home / ".byom" / "audit.jsonl").read_text(encoding="utf-8")


def test_where_redis_is_away_a_command_says_so_on_stderr_and_its_json_stays_whole(byom: Byom) -> None:
    result = byom("project", "set", "-p", "acme", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["changed"] is True
    assert "no worker was told; they notice within" in result.stderr


@pytest.mark.integration
def test_each_level_that_changes_is_announced_and_nothing_else_said(
    byom: Byom, valkey: EmbeddedValkey, valkey_client: redis.Redis
) -> None:
    at = ("--broker-url", valkey.url)
    results = [
        byom(*at, "project", "set", "-p", "acme"),
        byom(*at, "project", "set", "-p", "acme"),
        byom(*at, "connection", "add", "--account", "corp", *OPENAI),
    ]

    notices: Any = valkey_client.xrange(CHANGES_KEY)
    assert [fields[b"scope"] for _, fields in notices] == [b"/byom/projects/acme", *[b"/byom/accounts/corp"] * 3]
    assert not any("no worker was told" in result.stderr for result in results)


def test_without_a_log_nothing_is_changed(byom: Byom, home: Path, store: FileStore) -> None:
    (home / ".byom" / "audit.jsonl").mkdir(parents=True)

    results = [byom("project", "set", "-p", "acme"), byom("connection", "add", "-p", "acme", *OPENAI)]

    assert [result.exit_code for result in results] == [3, 3]
    assert "nothing is changed without a record" in results[0].stderr
    assert list(store.list("/byom")) == []
