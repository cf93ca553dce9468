"""The doctor's look at the store: what it says of one in SSM, and of secrets that nobody can decrypt."""

import base64
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.catalogue import Catalogue, ModelFacts, ReasoningOff
from config.connections import effective_chain, project_path, save_connection, save_project
from config.store import FileStore, ParameterStore, open_store
from config.store.ssm import SsmStore
from tasks.contract import ProviderKind
from tests.aws import Calls, Unhurried, denial
from workers.cli.checks import Check, Status
from workers.cli.checks.projects import check_project, check_store

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MODEL = ModelFacts(
    provider=ProviderKind.OPENAI, id="m", context=1, max_output=1, reasoning=ReasoningOff.NOT_NEEDED, ends=None
)
SECRET = SecretStr("sk-canary-0c4f")


@pytest.fixture
def url(aws: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    return f"ssm://us-east-1/{request.node.name}"


def checked(url: str, *, key: SecretStr | None = None) -> Check:
    return check_store(url, key=key)[1]


def test_a_store_in_ssm_that_can_be_read_is_well(url: str) -> None:
    save_project(open_store(url), "acme")

    assert checked(url) == Check(name="store", status=Status.OK, found=f"{url}: readable, 1 projects")


def test_an_empty_store_in_ssm_may_be_the_wrong_region_or_prefix(url: str) -> None:
    check = checked(url)

    assert check.status is Status.WARN
    assert "no projects yet" in check.found
    assert "region and prefix" in check.mend


def test_a_store_in_ssm_without_credentials_fails_with_the_mend(url: str, aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    check = checked(url)

    assert check.status is Status.FAIL
    assert "has no AWS credentials; give it some" in check.found


def test_a_store_in_ssm_that_cannot_be_reached_fails_with_the_mend(
    url: str, aws: pytest.MonkeyPatch, unhurried: Unhurried
) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    check = checked(url)

    assert check.status is Status.FAIL
    assert "AWS cannot be reached; see the region" in check.found


def fill(store: ParameterStore) -> None:
    save_project(store, "acme")
    scope = project_path("acme")
    save_connection(store, scope, {"name": "main", "provider": "openai", "model": "m", "credential": "main"})


def failures(store: ParameterStore) -> list[Check]:
    _, checks = check_project(store, "acme", catalogue=Catalogue([MODEL]), today=date(2026, 11, 25))
    return [check for check in checks if check.status is Status.FAIL]


def test_a_secret_that_may_not_be_decrypted_is_named_with_the_missing_permission(url: str) -> None:
    store = open_store(url)
    assert isinstance(store, SsmStore)
    fill(store)
    [link] = effective_chain(store, "acme")
    store.put(str(link.credential_path), SECRET, secure=True, kms_key=KEY)

    def refuse(action: str, request: Mapping[str, Any]) -> None:
        if action == "ssm:GetParameter" and "profile" not in request["Name"]:
            raise denial("kms:Decrypt", KEY)

    with Calls(before=refuse).watching(store._ssm()):
        [check] = failures(store)
    assert "AWS denies kms:Decrypt; allow it in" in check.found
    assert f"the policy of the key {KEY}" in check.found
    assert "byom store info" in check.mend


def test_a_secret_under_another_key_of_the_file_is_named(tmp_path: Path) -> None:
    one, other = (SecretStr(base64.b64encode(bytes([number]) * 32).decode()) for number in (1, 2))
    path = tmp_path / "store.json"
    fill(FileStore(path, key=one))
    [link] = effective_chain(FileStore(path, key=one), "acme")
    FileStore(path, key=one).put(str(link.credential_path), SECRET, secure=True)

    assert checked(f"file:{path}", key=other).status is Status.OK
    [check] = failures(FileStore(path, key=other))
    assert "it was encrypted with the key" in check.found
    assert other.get_secret_value() not in check.found
