"""`byom connection add`, `byom verify` and `byom models check`, with real calls to the simulated vendors."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import FileStore
from tasks.contract import ProviderKind
from tests.support import ManualClock
from tests.unit.cli.conftest import Byom
from tests.verification import KINDS
from workers.embedded.simulator import Account, KeyState, SimulatorThread

SECRET = "sk-canary-2b9d17e0aa"
#: Days after which the catalogue's first models are within 30 days of their end.
LATE = 40 * 86_400


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The day on which the catalogue was written, until a test moves it."""
    manual = ManualClock()
    monkeypatch.setattr("workers.cli.models_check.SystemClock", lambda: manual)
    return manual


@pytest.fixture(autouse=True)
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)


def add(byom: Byom, vendors: SimulatorThread, *arguments: str, kind: ProviderKind = ProviderKind.OPENAI) -> Any:
    vendor, model, _ = KINDS[kind]
    given = ("--provider", kind.value, "--model", model, "--base-url", vendors.base_urls[vendor], "--key-env", "MY_KEY")
    return byom("connection", "add", "-p", "acme", *given, *arguments)


def revoke(vendors: SimulatorThread) -> None:
    vendors.put_account(Account(key=SecretStr(SECRET), state=KeyState.REVOKED))


def test_a_connection_that_works_is_saved_with_what_was_checked(
    byom: Byom, vendors: SimulatorThread, store: FileStore
) -> None:
    result = add(byom, vendors)

    assert result.exit_code == 0
    assert "Saved primary connection" in result.stdout
    assert "Verified with 1 call, 63 tokens, $0.000008" in result.stdout
    assert "structured output" in result.stdout
    assert store.get("/byom/projects/acme/credentials/primary") is not None
    assert vendors.books().served == 1


def test_a_connection_that_does_not_work_leaves_nothing_behind_and_says_the_mend(
    byom: Byom, vendors: SimulatorThread, home: Path
) -> None:
    revoke(vendors)
    result = add(byom, vendors)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "FAILED  credential  OpenAI does not accept the key" in result.stderr
    assert "→ create one at platform.openai.com/api-keys" in result.stderr
    assert "nothing was saved" in result.stderr
    assert not (home / ".byom").exists()
    assert SECRET not in result.output


def test_a_refusal_is_json_for_programs(byom: Byom, vendors: SimulatorThread) -> None:
    revoke(vendors)
    result = add(byom, vendors, "--json")

    error = json.loads(result.stderr)["error"]
    assert (result.exit_code, error["exit_code"], result.stdout) == (1, 1, "")
    assert error["verification"]["problem"] == "bad_key"
    assert [check["status"] for check in error["verification"]["checks"]][:2] == ["ok", "failed"]


def test_a_rotation_to_a_bad_key_leaves_the_good_one(byom: Byom, vendors: SimulatorThread, store: FileStore) -> None:
    add(byom, vendors)
    before = list(store.list("/byom"))
    revoke(vendors)

    assert add(byom, vendors).exit_code == 1
    assert list(store.list("/byom")) == before


def test_force_saves_what_does_not_work_and_says_so(byom: Byom, vendors: SimulatorThread, store: FileStore) -> None:
    revoke(vendors)
    result = add(byom, vendors, "--force")
    as_json = json.loads(add(byom, vendors, "--force", "--json").stdout)

    assert result.exit_code == 0
    assert "does not work yet" in result.stdout
    assert "FAILED" in result.stderr
    assert store.get("/byom/projects/acme/connections/primary") is not None
    assert (as_json["verified"], as_json["verification"]["problem"]) == (False, "bad_key")


def test_without_verification_no_call_is_made(byom: Byom, vendors: SimulatorThread) -> None:
    result = add(byom, vendors, "--no-verify", "--json")

    assert json.loads(result.stdout)["verified"] is False
    assert vendors.books().requests == 0


def test_json_has_the_whole_report(byom: Byom, vendors: SimulatorThread) -> None:
    document = json.loads(add(byom, vendors, "--json").stdout)

    assert document["verified"] is True
    assert document["credential_version"] == 1
    assert {check["status"] for check in document["verification"]["checks"]} == {"ok"}
    assert SECRET not in json.dumps(document)


def test_a_fallback_without_a_primary_is_verified_too(byom: Byom, vendors: SimulatorThread) -> None:
    result = add(byom, vendors, "--role", "fallback", kind=ProviderKind.ANTHROPIC)

    assert result.exit_code == 0
    assert "Anthropic answers at" in result.stdout
    assert "no primary connection yet" in result.stdout


def test_warnings_do_not_stop_a_connection(byom: Byom, vendors: SimulatorThread) -> None:
    result = add(byom, vendors, "--model", "gpt-6-sol", "--unverified")

    assert result.exit_code == 0
    assert "512 of the" in result.stdout


def test_all_connections_of_a_project_are_verified_again(byom: Byom, vendors: SimulatorThread) -> None:
    add(byom, vendors)
    add(byom, vendors, "--role", "fallback", kind=ProviderKind.ANTHROPIC)
    result = byom("verify", "-p", "acme")

    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()[-2:]]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("primary", "openai", "works"),
        ("fallback", "anthropic", "works"),
    ]


def test_one_that_fails_ends_the_command_with_1_and_the_others_are_shown(byom: Byom, vendors: SimulatorThread) -> None:
    add(byom, vendors)
    add(byom, vendors, "--name", "open", "--role", "fallback", kind=ProviderKind.OPENAI_COMPATIBLE)
    revoke(vendors)
    result = byom("verify", "-p", "acme", "--json")
    one = byom("verify", "-p", "acme", "--connection", "open", "--json")

    reports = json.loads(result.stdout)
    assert (result.exit_code, one.exit_code) == (1, 1)
    assert [report["problem"] for report in reports] == ["bad_key", "bad_key"]
    assert [report["connection"] for report in json.loads(one.stdout)] == ["open"]
    assert reports[0]["credential_version"] == 1


def test_a_credential_that_is_gone_is_a_finding_not_an_end(
    byom: Byom, vendors: SimulatorThread, store: FileStore
) -> None:
    add(byom, vendors)
    add(byom, vendors, "--role", "fallback", kind=ProviderKind.ANTHROPIC)
    store.delete("/byom/projects/acme/credentials/primary")
    result = byom("verify", "-p", "acme", "--json")

    reports = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [report["problem"] for report in reports] == ["missing_key", None]
    assert reports[0]["attempts"] == []


@pytest.mark.parametrize("arguments", [("-p", "nobody"), ("-p", "acme", "--connection", "nothing")])
def test_what_is_not_there_cannot_be_verified(byom: Byom, vendors: SimulatorThread, arguments: tuple[str, ...]) -> None:
    add(byom, vendors)

    assert byom("verify", *arguments).exit_code == 2


def sources(result: Any) -> list[dict[str, Any]]:
    return list(json.loads(result.stdout)["sources"])


def findings(source: dict[str, Any]) -> dict[str, str]:
    return {finding["model"]: finding["finding"] for finding in source["findings"]}


def test_models_in_use_are_compared_with_the_providers_own_list(byom: Byom, vendors: SimulatorThread) -> None:
    add(byom, vendors)
    add(byom, vendors, "--role", "fallback", kind=ProviderKind.ANTHROPIC)
    result = byom("models", "check", "-p", "acme", "--json")

    openai, claude = sources(result)
    assert result.exit_code == 0
    assert (openai["provider"], openai["listed"], claude["provider"]) == ("openai", 17, "anthropic")
    # Of the day on which the catalogue was written: two models end within 90 days, and one is not listed in it.
    assert findings(openai) == {"gpt-4.1-mini": "ending", "gpt-4o-mini": "ending"}
    assert findings(claude) == {}


def test_a_model_in_use_that_ends_within_30_days_fails_the_check(
    byom: Byom, vendors: SimulatorThread, clock: ManualClock
) -> None:
    add(byom, vendors, "--model", "gpt-4o-mini")
    clock.seconds = LATE
    result = byom("models", "check")

    assert result.exit_code == 1
    [line] = [line for line in result.stdout.splitlines() if "gpt-4o-mini" in line]
    assert "acme/primary" in line
    assert "FAILED" in line
    assert "in 12 days" in line


def test_a_model_that_the_key_does_not_see_fails_the_check(byom: Byom, vendors: SimulatorThread) -> None:
    vendors.put_account(Account(key=SecretStr(SECRET), models=frozenset({"gpt-6-luna", "gpt-7-nano"})))
    result = byom(
        *("models", "check", "--provider", "openai", "--key-env", "MY_KEY"),
        *("--base-url", vendors.base_urls["openai"], "--json"),
    )

    [source] = sources(result)
    assert result.exit_code == 1
    assert findings(source)["gpt-5.6-luna"] == "gone"
    assert "gpt-6-luna" not in findings(source)


def test_two_connections_with_one_key_share_one_list(byom: Byom, vendors: SimulatorThread, store: FileStore) -> None:
    add(byom, vendors, "--no-verify")
    document = {"name": "second", "provider": "openai", "model": "gpt-5.4-nano", "role": "fallback"}
    base_url = {"base_url": vendors.base_urls["openai"], "credential": "primary"}
    save_connection(store, project_path("acme"), document | base_url)
    result = byom("models", "check", "--json")

    assert len(sources(result)) == 1
    assert vendors.books().requests == 1


def test_a_list_that_cannot_be_read_fails_the_check_with_the_mend(byom: Byom, vendors: SimulatorThread) -> None:
    add(byom, vendors)
    revoke(vendors)
    result = byom("models", "check")

    assert result.exit_code == 1
    assert "the list cannot be read: OpenAI does not accept the key" in result.stderr
    assert SECRET not in result.output


def test_of_providers_without_a_list_only_the_catalogues_days_count(
    byom: Byom, store: FileStore, clock: ManualClock
) -> None:
    save_project(store, "acme")
    save_credential(store, project_path("acme"), "primary", SecretStr("{}"))
    document = {"name": "primary", "provider": "vertex", "model": "gemini-3.1-flash-lite", "credential": "primary"}
    save_connection(store, project_path("acme"), document)
    well = byom("models", "check")
    clock.seconds = 150 * 86_400
    late = byom("models", "check", "--json")

    assert well.exit_code == 0
    assert "vertex keeps no list" in well.stderr
    assert late.exit_code == 1
    assert findings(sources(late)[0])["gemini-3.1-flash-lite"] == "ending"


def test_a_missing_credential_is_said_and_the_rest_goes_on(
    byom: Byom, vendors: SimulatorThread, store: FileStore
) -> None:
    add(byom, vendors)
    add(byom, vendors, "--role", "fallback", kind=ProviderKind.ANTHROPIC)
    store.delete("/byom/projects/acme/credentials/primary")
    result = byom("models", "check", "--json")

    broken, whole = sources(result)
    assert result.exit_code == 1
    assert "not in the store" in broken["problem"]
    assert whole["listed"] == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("--provider", "openai"),
        ("--provider", "openai", "--key-env", "NOT_SET"),
        ("--provider", "azure_openai", "--key-env", "MY_KEY"),
        ("--provider", "openai", "--key-env", "MY_KEY", "--base-url", "http://10.0.0.7/v1"),
        ("--key-env", "MY_KEY"),
        ("--project", "acme", "--provider", "openai", "--key-env", "MY_KEY"),
        ("--project", "nobody"),
    ],
    ids=" ".join,
)
def test_what_does_not_fit_together_is_a_usage_error(byom: Byom, arguments: tuple[str, ...]) -> None:
    assert byom("models", "check", *arguments).exit_code == 2


def test_without_connections_nothing_is_checked(byom: Byom) -> None:
    result = byom("models", "check")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "--provider" in result.stderr


TARGET = "https://acme.openai.azure.com/openai/deployments/gpt-6-luna/chat/completions?api-version=2024-10-21"
AZURE = ("--provider", "azure_openai", "--key-env", "MY_KEY", "--base-url", TARGET)


@pytest.mark.parametrize(
    "command", [("connection", "add", "-p", "acme", "--model", "gpt-6-luna"), ("models", "check")], ids=" ".join
)
def test_azures_target_uri_is_answered_with_what_to_paste(byom: Byom, command: tuple[str, ...]) -> None:
    result = byom(*command, *AZURE)

    assert result.exit_code == 2
    assert "paste https://acme.openai.azure.com/ instead" in result.stderr
