"""`byom account`: accounts with their keys, and a key that is saved only when it works."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import (
    AccountProfile,
    account_path,
    project_path,
    read_account,
    save_connection,
    save_project,
    write_account,
)
from config.store import FileStore, open_store
from config.store.aws import build_client
from tests.unit.cli.conftest import Byom
from workers.cli.errors import ExitCode

ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def key(aws: pytest.MonkeyPatch) -> str:
    return str(build_client("kms", None).create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def ssm_url(aws: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A store in SSM of this test's own."""
    return f"ssm://us-east-1/{request.node.name}"


def fill(store: FileStore) -> None:
    write_account(store, "customer", AccountProfile(kms_key=ARN))
    document = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
    save_connection(store, account_path("customer"), document)
    save_project(store, "acme", account="customer")
    save_project(store, "named", account="only-named")
    store.put(f"{project_path('acme')}/secrets/main/1", SecretStr("sk-1"), secure=True)
    store.put(f"{project_path('acme')}/secrets/main/2", SecretStr("sk-2"), secure=True, kms_key=ARN)


def test_accounts_are_listed(byom: Byom, store: FileStore) -> None:
    fill(store)

    assert json.loads(byom("account", "list", "--json").stdout) == [
        {"account": "customer", "projects": ["acme"], "connections": ["main"], "kms_key": ARN},
        {"account": "only-named", "projects": ["named"], "connections": [], "kms_key": None},
    ]
    lines = byom("account", "list").stdout.splitlines()
    assert lines[1].split() == ["customer", "acme", "1", ARN]
    assert lines[2].strip().split(maxsplit=3) == ["only-named", "named", "0", "the store's own"]


def test_without_accounts_the_list_is_empty(byom: Byom) -> None:
    assert json.loads(byom("account", "list", "--json").stdout) == []
    assert byom("account", "list").exit_code == ExitCode.OK


def test_an_account_is_shown_with_what_is_under_another_key(byom: Byom, store: FileStore) -> None:
    fill(store)

    assert json.loads(byom("account", "show", "--account", "customer", "--json").stdout) == {
        "account": "customer",
        "projects": ["acme"],
        "connections": ["main"],
        "kms_key": ARN,
        "secrets": 2,
        "under_another_key": ["/byom/projects/acme/secrets/main/1"],
    }
    text = byom("account", "show", "--account", "customer").stdout
    assert "2, 1 of them under another key" in text
    assert "byom store reencrypt --account customer" in text


def test_an_account_that_is_not_there_is_refused(byom: Byom) -> None:
    result = byom("account", "show", "--account", "nobody")

    assert result.exit_code == ExitCode.USAGE
    assert "no account 'nobody'" in result.stderr


def test_a_key_that_works_is_saved(byom: Byom, ssm_url: str, key: str) -> None:
    store = open_store(ssm_url)
    save_project(store, "acme", account="customer")
    store.put(f"{project_path('acme')}/secrets/main/1", SecretStr("sk-1"), secure=True)
    result = byom("--store-url", ssm_url, "account", "set-kms", "--account", "customer", "--key-arn", key)

    assert result.exit_code == ExitCode.OK
    assert result.stdout.count(" ok ") == 5
    assert "1 are stored under another one; encrypt them anew: byom store reencrypt --account customer" in result.stdout
    assert read_account(store, "customer").kms_key == key


def test_a_key_that_does_not_work_is_not_saved(byom: Byom, ssm_url: str) -> None:
    result = byom("--store-url", ssm_url, "account", "set-kms", "-a", "customer", "--key-arn", ARN)
    as_json = byom("--store-url", ssm_url, "account", "set-kms", "-a", "customer", "--key-arn", ARN, "--json")

    assert (result.exit_code, as_json.exit_code) == (ExitCode.FAILED, ExitCode.FAILED)
    assert "FAIL  key  the KMS key" in result.stdout
    assert "Nothing was saved" in result.stdout
    document: dict[str, Any] = json.loads(as_json.stdout)
    assert document["saved"] is False
    assert [check["status"] for check in document["checks"]] == ["ok", "ok", "failed", "failed", "skipped"]
    assert read_account(open_store(ssm_url), "customer").kms_key is None


def test_a_key_is_taken_away_without_a_check(byom: Byom, store: FileStore) -> None:
    fill(store)
    result = byom("account", "set-kms", "--account", "customer", "--none")

    assert result.exit_code == ExitCode.OK
    assert "encrypted with the store's own key" in result.stdout
    assert read_account(store, "customer").kms_key is None


@pytest.mark.parametrize("arguments", [(), ("--none", "--key-arn", ARN)], ids=["neither", "both"])
def test_a_key_or_none_must_be_said(byom: Byom, arguments: tuple[str, ...]) -> None:
    assert byom("account", "set-kms", "--account", "customer", *arguments).exit_code == ExitCode.USAGE


@pytest.mark.parametrize("name", ["../acme", "a/b", "", "-x", "ä"])
def test_a_name_that_is_none_is_refused(byom: Byom, name: str) -> None:
    assert byom("account", "set-kms", f"--account={name}", "--none").exit_code == ExitCode.USAGE
