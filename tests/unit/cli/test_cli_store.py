"""`byom store`: what it tells of a store, and that copying and encrypting anew show no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import AccountProfile, project_path, save_connection, save_project, write_account
from config.store import FileStore, ParameterStore, open_store
from tests.unit.cli.conftest import Byom
from workers.cli.errors import ExitCode

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = "sk-canary-1f0c6a7e"
STORE_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def fill(store: ParameterStore) -> None:
    write_account(store, "customer", AccountProfile(kms_key=KEY))
    save_project(store, "acme", account="customer")
    document = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
    save_connection(store, project_path("acme"), document)
    for version in (1, 2):
        store.put(f"{project_path('acme')}/secrets/main/{version}", SecretStr(SECRET), secure=True)


@pytest.fixture
def ssm_url(aws: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A store in SSM of this test's own."""
    return f"ssm://us-east-1/{request.node.name}"


def test_info_tells_of_a_file(byom: Byom, home: Path, store: FileStore) -> None:
    fill(store)
    result = byom("store", "info", "--json")

    assert result.exit_code == ExitCode.OK
    assert json.loads(result.stdout) == {
        "kind": "file",
        "where": ".byom/store.json",
        "key": "AES-256-GCM with .byom/store.json.key",
        "readable": True,
        "writable": True,
        "counts": {"projects": 1, "accounts": 1, "plain": 3, "secrets": 2, "under_customer_keys": 0},
        "problems": [],
    }
    assert SECRET not in result.output


def test_info_leaves_nothing_behind(byom: Byom, store: FileStore) -> None:
    fill(store)
    before = list(store.list("/byom"))
    byom("store", "info")

    assert list(store.list("/byom")) == before


def test_info_names_the_variable_that_the_key_is_in_and_not_the_key(
    byom: Byom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_STORE_KEY", STORE_KEY)
    result = byom("store", "info")

    assert "AES-256-GCM with BYOM_STORE_KEY" in result.stdout
    assert STORE_KEY not in result.output


def test_info_tells_of_ssm(byom: Byom, ssm_url: str, aws: pytest.MonkeyPatch) -> None:
    fill(open_store(ssm_url))
    result = byom("--store-url", ssm_url, "store", "info")

    assert result.exit_code == ExitCode.OK
    assert "ssm  http://127.0.0.1:" in result.stdout
    assert f"in us-east-1, names below {ssm_url.removeprefix('ssm://us-east-1')}/byom" in result.stdout
    assert "Readable    yes" in result.stdout
    assert "Writable    yes" in result.stdout
    assert "1 projects, 1 accounts, 3 plain values, 2 secrets (0 under customers' keys)" in result.stdout


def test_info_of_a_store_that_cannot_be_read_says_why_and_fails(byom: Byom, store: FileStore) -> None:
    fill(store)
    store.path.chmod(0o644)
    result = byom("store", "info")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "chmod 600" in result.stdout


def test_info_of_ssm_without_credentials_says_what_to_give(byom: Byom, aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    result = byom("--store-url", "ssm:", "store", "info")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "this process has no AWS credentials" in result.stdout


def test_a_laptops_store_moves_to_ssm(byom: Byom, ssm_url: str, store: FileStore) -> None:
    fill(store)
    arguments = ("store", "copy", "--from", "file:.byom/store.json", "--to", ssm_url)
    first, second = byom(*arguments), byom(*arguments, "--json")

    assert (first.exit_code, second.exit_code) == (ExitCode.OK, ExitCode.OK)
    assert first.stdout == "5 copied, 0 there already.\n"
    assert json.loads(second.stdout) == {"copied": 0, "already": 5, "differs": 0, "differing": []}
    target = open_store(ssm_url)
    assert [parameter.value for parameter in target.list("/byom", secure=True)] == [SecretStr(SECRET)] * 2
    assert {facts.kms_key for facts in target.secrets("/byom")} == {KEY}
    assert SECRET not in first.output + second.output


def test_a_copy_replaces_what_differs_only_when_told_to(byom: Byom, store: FileStore) -> None:
    fill(store)
    target = FileStore("target.json")
    target.put("/byom/projects/acme/secrets/main/1", SecretStr("sk-other"), secure=True)
    arguments = ("store", "copy", "--from", "file:.byom/store.json", "--to", "file:target.json")
    kept, replaced = byom(*arguments), byom(*arguments, "--overwrite")

    assert kept.exit_code == ExitCode.FAILED
    assert "differs  /byom/projects/acme/secrets/main/1" in kept.stdout
    assert replaced.exit_code == ExitCode.OK
    assert SECRET not in kept.output + replaced.output
    assert "sk-other" not in kept.output + replaced.output


@pytest.mark.parametrize(("source", "target"), [("memory:", "file:a.json"), ("file:a.json", "memory:")])
def test_a_copy_to_where_it_would_be_gone_is_refused(byom: Byom, source: str, target: str) -> None:
    assert byom("store", "copy", "--from", source, "--to", target).exit_code == ExitCode.USAGE


def test_reencrypting_reports_what_it_did_and_does_nothing_twice(byom: Byom, ssm_url: str) -> None:
    store = open_store(ssm_url)
    fill(store)
    first = byom("--store-url", ssm_url, "store", "reencrypt", "--account", "customer", "--json")
    second = byom("--store-url", ssm_url, "store", "reencrypt", "--account", "customer")

    document: dict[str, Any] = json.loads(first.stdout)
    assert document == {
        "account": "customer",
        "kms_key": KEY,
        "reencrypted": 2,
        "already": 0,
        "changed": 0,
        "failed": 0,
        "problems": [],
    }
    assert second.stdout == f"0 encrypted anew under {KEY}, 2 were under it already.\n"
    assert {facts.kms_key for facts in store.secrets("/byom")} == {KEY}
    assert SECRET not in first.output + second.output


def test_reencrypting_reports_what_it_could_not_do(
    byom: Byom, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    document = json.loads(store.path.read_text(encoding="utf-8"))
    document["/byom/projects/acme/secrets/main/1"]["ciphertext"] = SECRET
    store.path.write_text(json.dumps(document), encoding="utf-8")
    result = byom("store", "reencrypt", "--account", "customer")

    assert result.exit_code == ExitCode.FAILED
    assert "1 encrypted anew" in result.stdout
    assert "FAIL  the parameter /byom/projects/acme/secrets/main/1 is damaged" in result.stdout
    assert SECRET not in result.output


def test_every_command_opens_the_store_with_its_key() -> None:
    root = Path(__file__).parents[3]
    calls = [
        f"{file.relative_to(root)}: {line.strip()}"
        for folder in ("config", "tasks", "workers")
        for file in sorted((root / folder).rglob("*.py"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if "open_store(" in line and "def open_store" not in line
    ]

    assert len(calls) > 5
    assert [call for call in calls if "key=" not in call] == [], "a store with BYOM_STORE_KEY would not open there"
