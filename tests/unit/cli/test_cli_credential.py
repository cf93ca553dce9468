"""`byom credential` and `byom audit`, with real calls to the simulated vendors."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from config.connections import account_path, project_path, save_connection, save_project
from config.credentials import CredentialHistory, history_of, save_credential
from config.store import FileStore
from tests.unit.cli.conftest import Byom
from workers.configuration.changes import CHANGES_KEY
from workers.embedded.simulator import Account, KeyState, SimulatorThread
from workers.embedded.valkey import EmbeddedValkey

OLD, NEW = "sk-canary-old-9b1c", "sk-canary-new-4e7d"
SCOPE = project_path("acme")
MAIN = ("-p", "acme", "--name", "main")


@pytest.fixture(autouse=True)
def keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_KEY", OLD)
    monkeypatch.setenv("NEW_KEY", NEW)
    monkeypatch.setenv("BYOM_ACTOR", "ada@desk")


@pytest.fixture
def acme(store: FileStore, vendors: SimulatorThread) -> FileStore:
    """Project `acme`, whose two connections name the credential `main`."""
    save_project(store, "acme")
    connection = {"provider": "openai", "model": "gpt-6-luna", "base_url": vendors.base_urls["openai"]}
    save_connection(store, SCOPE, {"name": "primary", "credential": "main", **connection})
    save_connection(store, SCOPE, {"name": "second", "credential": "main", "role": "fallback", **connection})
    save_connection(store, SCOPE, {"name": "third", "credential": "other", "role": "fallback", **connection})
    save_credential(store, SCOPE, "main", SecretStr(OLD))
    return store


def revoke(vendors: SimulatorThread, key: str) -> None:
    vendors.put_account(Account(key=SecretStr(key), state=KeyState.REVOKED))


def history(store: FileStore, scope: str = SCOPE, name: str = "main") -> CredentialHistory:
    found = history_of(store, scope, name)
    assert found is not None
    return found


def states(store: FileStore) -> list[str]:
    return [facts.state.value for _, facts in sorted(history(store).versions.items())]


def document(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_rotation_is_four_commands(byom: Byom, acme: FileStore, vendors: SimulatorThread) -> None:
    added = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--reason", "quarterly")
    before = states(acme)
    activated = byom("credential", "activate", *MAIN)
    disabled = byom("credential", "disable", *MAIN, "--version", "1")
    deleted = byom("credential", "delete", *MAIN, "--version", "1", "--yes")

    assert [result.exit_code for result in (added, activated, disabled, deleted)] == [0, 0, 0, 0]
    assert before == ["active", "pending"]
    assert states(acme) == ["deleted", "active"]
    assert acme.get(f"{SCOPE}/secrets/main/1") is None
    assert "Added version 2 of credential 'main' of project 'acme'; it is pending." in added.stdout
    assert "byom credential activate --project acme --name main --version 2" in added.stdout
    assert "Version 1 is disabled; delete it when you are sure." in activated.stdout
    assert "is disabled already" in disabled.stdout
    assert vendors.books().served == 2, "one call for each connection that names the credential"
    facts = history(acme).versions[2]
    assert (facts.created_by, facts.changed_by, facts.verified_at is not None) == ("ada@desk", "ada@desk", True)


def test_add_and_activate_in_one_step(byom: Byom, acme: FileStore) -> None:
    made = document(byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate", "--json"))

    assert (made["project"], made["account"], made["name"], made["version"]) == ("acme", None, "main", 2)
    assert made["state"] == "active"
    assert [report["connection"] for report in made["verification"]] == ["primary", "second"]
    assert all(report["ok"] and report["credential_version"] == 2 for report in made["verification"])
    assert states(acme) == ["disabled", "active"]


@pytest.mark.parametrize("activate", [(), ("--activate",)], ids=["add", "add and activate"])
def test_a_key_that_does_not_work_stays_pending_with_the_reason(
    byom: Byom, acme: FileStore, vendors: SimulatorThread, activate: tuple[str, ...]
) -> None:
    revoke(vendors, NEW)
    result = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", *activate)

    assert result.exit_code == 1
    assert "version 2 of credential 'main' of project 'acme' stays pending" in result.stderr
    assert "OpenAI does not accept the key" in result.stderr
    assert states(acme) == ["active", "pending"]
    facts = history(acme).versions[2]
    assert facts.verified_at is None
    assert "connection 'primary': OpenAI does not accept the key" in str(facts.reason)
    refused = byom("credential", "activate", *MAIN, "--version", "2")
    assert refused.exit_code == 2
    assert "OpenAI does not accept the key" in refused.stderr
    assert states(acme) == ["active", "pending"]


def test_a_failure_is_json_for_programs(byom: Byom, acme: FileStore, vendors: SimulatorThread) -> None:
    revoke(vendors, NEW)
    result = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--json")

    error = json.loads(result.stderr)["error"]
    assert (result.exit_code, result.stdout) == (1, "")
    assert (error["credential"]["version"], error["credential"]["state"]) == (2, "pending")
    assert [report["problem"] for report in error["verification"]] == ["bad_key", "bad_key"]


def test_force_activates_what_does_not_work(byom: Byom, acme: FileStore, vendors: SimulatorThread) -> None:
    revoke(vendors, NEW)
    added = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate", "--force")

    assert added.exit_code == 0
    assert states(acme) == ["disabled", "active"]


def test_without_verification_no_call_is_made_and_activation_waits_for_one(
    byom: Byom, acme: FileStore, vendors: SimulatorThread
) -> None:
    added = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--no-verify")
    refused = byom("credential", "activate", *MAIN)
    calls = vendors.books().requests
    verified = document(byom("credential", "verify", *MAIN, "--json"))
    activated = byom("credential", "activate", *MAIN)

    assert (added.exit_code, refused.exit_code, activated.exit_code) == (0, 2, 0)
    assert calls == 0
    assert "not verified" in added.stdout
    assert "byom credential verify --project acme --name main --version 2" in refused.stderr
    assert (verified["version"], verified["state"]) == (2, "pending")
    assert states(acme) == ["disabled", "active"]


def test_a_key_that_was_revoked_is_found_by_verifying_the_active_version(
    byom: Byom, acme: FileStore, vendors: SimulatorThread
) -> None:
    revoke(vendors, OLD)
    result = byom("credential", "verify", *MAIN)

    assert result.exit_code == 1
    assert "version 1 of credential 'main' of project 'acme' stays active: connection 'primary'" in result.stderr


def test_a_rotation_is_taken_back(byom: Byom, acme: FileStore) -> None:
    byom("credential", "verify", *MAIN)
    byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate")

    assert byom("credential", "activate", *MAIN, "--version", "1", "--reason", "rollback").exit_code == 0
    assert states(acme) == ["active", "disabled"]


def test_a_credential_of_an_account_is_tried_with_the_accounts_connections(
    byom: Byom, store: FileStore, vendors: SimulatorThread
) -> None:
    corp = account_path("corp")
    whole = {"provider": "openai", "model": "gpt-6-luna", "base_url": vendors.base_urls["openai"]}
    save_connection(store, corp, {"name": "primary", "credential": "shared", **whole})
    save_project(store, "acme", account="corp")

    made = document(
        byom(
            "credential", "add", "--account", "corp", "--name", "shared", "--key-env", "NEW_KEY", "--activate", "--json"
        )
    )

    assert (made["account"], made["project"], made["state"]) == ("corp", None, "active")
    assert [(one["connection"], one["project"]) for one in made["verification"]] == [("primary", "acme")]


def test_without_a_connection_there_is_nothing_to_try_it_with(byom: Byom, store: FileStore) -> None:
    added = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY")
    activated = byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate")
    verified = byom("credential", "verify", *MAIN)

    assert (added.exit_code, activated.exit_code, verified.exit_code) == (0, 1, 2)
    for result in (added, activated, verified):
        assert "no connection of project 'acme' names the credential 'main'" in result.stderr
    assert states(store) == ["pending", "pending"]


def test_the_active_version_is_not_deleted_unless_forced(byom: Byom, acme: FileStore) -> None:
    refused = byom("credential", "delete", *MAIN, "--version", "1", "--yes")
    forced = byom("credential", "delete", *MAIN, "--version", "1", "--yes", "--force")

    assert (refused.exit_code, forced.exit_code) == (2, 0)
    assert "it is active and calls are made with it" in refused.stderr
    assert states(acme) == ["deleted"]


def test_a_credential_in_use_is_not_deleted_and_an_unused_one_is(byom: Byom, acme: FileStore) -> None:
    save_credential(acme, SCOPE, "unused", SecretStr(OLD))
    refused = byom("credential", "delete", *MAIN, "--yes", "--force")
    deleted = document(byom("credential", "delete", "-p", "acme", "--name", "unused", "--yes", "--json"))

    assert refused.exit_code == 2
    assert "named by the connections primary, second" in refused.stderr
    assert deleted == {"project": "acme", "account": None, "name": "unused", "deleted": [1], "announced": False}
    assert acme.get(f"{SCOPE}/secrets/unused/1") is None


def test_deleting_asks_first(byom: Byom, acme: FileStore) -> None:
    byom("credential", "disable", *MAIN, "--version", "1")
    declined = byom("credential", "delete", *MAIN, "--version", "1", stdin="n\n")
    unasked = byom("credential", "delete", *MAIN, "--version", "1", "--json")

    assert (declined.exit_code, unasked.exit_code) == (1, 2)
    assert "Delete version 1 of credential 'main' of project 'acme' for good?" in declined.stderr
    assert states(acme) == ["disabled"]


def test_disabling_the_active_version_says_what_that_means(byom: Byom, acme: FileStore) -> None:
    result = byom("credential", "disable", *MAIN, "--version", "1", "--reason", "leaked")

    assert result.exit_code == 0
    assert "its connections cannot be called" in result.stderr
    assert history(acme).versions[1].reason == "leaked"
    verified = byom("verify", "-p", "acme", "--connection", "primary", "--json")
    assert verified.exit_code == 1
    assert "which has no active version" in json.loads(verified.stdout)[0]["checks"][1]["message"]


def test_versions_are_listed_with_fingerprints_and_no_secret(byom: Byom, acme: FileStore) -> None:
    save_credential(acme, SCOPE, "other", SecretStr(NEW))
    byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--no-verify")

    rows = document(byom("credential", "list", "-p", "acme", "--json"))
    shown = byom("credential", "list", "-p", "acme", "--name", "main").stdout

    assert [(row["name"], row["version"], row["state"]) for row in rows] == [
        ("main", 1, "active"),
        ("main", 2, "pending"),
        ("other", 1, "active"),
    ]
    assert rows[1]["fingerprint"] == rows[2]["fingerprint"] != rows[0]["fingerprint"]
    assert shown.count("\n") == 3
    assert rows[0]["fingerprint"] in shown
    assert byom("credential", "list", "-p", "nobody").exit_code == 0


USAGE = {
    "neither project nor account": ("list",),
    "both project and account": ("list", "-p", "acme", "--account", "corp"),
    "no source of the key": ("add", *MAIN),
    "two sources of the key": ("add", *MAIN, "--key-env", "NEW_KEY", "--key-stdin"),
    "an empty variable": ("add", *MAIN, "--key-env", "NOT_SET"),
    "a name that is none": ("add", "-p", "acme", "--name", "../x", "--key-env", "NEW_KEY"),
    "a version that is not there": ("activate", *MAIN, "--version", "9"),
    "no pending version": ("activate", *MAIN),
    "an unknown credential": ("verify", "-p", "acme", "--name", "nothing"),
    "a version that was never added": ("verify", *MAIN, "--version", "7"),
    "disabling without a version": ("disable", *MAIN),
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_what_does_not_fit_is_a_usage_error_that_changes_nothing(
    byom: Byom, acme: FileStore, arguments: tuple[str, ...]
) -> None:
    before = list(acme.list("/byom"))

    result = byom("credential", *arguments)

    assert result.exit_code == 2
    assert list(acme.list("/byom")) == before


@pytest.mark.parametrize(
    ("text", "fits"),
    [("sk-1", True), ('{"type": "service_account"}', True), ("two words", False), ("[1]\nx", False)],
)
def test_a_key_of_an_unknown_kind_is_a_word_or_a_document(byom: Byom, home: Path, text: str, *, fits: bool) -> None:
    (home / "key").write_text(text, encoding="utf-8")

    result = byom("credential", "add", *MAIN, "--key-file", "key")

    assert (result.exit_code == 0) is fits
    assert "two words" not in result.output


# Who is told, and what is recorded


def test_a_change_that_no_worker_was_told_of_says_so(byom: Byom, acme: FileStore) -> None:
    result = byom("credential", "disable", *MAIN, "--version", "1")

    assert result.exit_code == 0
    assert "no worker was told; they notice within 30 s (BYOM_CONFIG_CACHE_TTL)" in result.stderr


def test_every_change_is_announced_and_recorded(
    byom: Byom, acme: FileStore, home: Path, valkey: EmbeddedValkey, valkey_client: redis.Redis
) -> None:
    broker = ("--broker-url", valkey.url)
    byom(*broker, "credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate")
    deleted = document(byom(*broker, "credential", "delete", *MAIN, "--version", "1", "--yes", "--json"))

    notices: Any = valkey_client.xrange(CHANGES_KEY)
    assert deleted["announced"] is True
    assert [fields[b"scope"].decode() for _, fields in notices] == [SCOPE] * 4
    lines = [json.loads(line) for line in byom("audit", "--project", "acme", "--json").stdout.splitlines()]
    assert [line["action"] for line in lines] == [f"credential.{a}" for a in ("add", "verify", "activate", "delete")]
    assert {line["by"] for line in lines} == {"ada@desk"}
    assert (home / ".byom" / "audit.jsonl").exists()


def test_the_audit_log_is_shown_by_project_and_time(byom: Byom, acme: FileStore) -> None:
    byom("credential", "disable", *MAIN, "--version", "1", "--reason", "leaked")

    shown = byom("audit", "-p", "acme", "--since", "1h")
    others = [byom("audit", "-p", "other"), byom("audit", "--account", "acme"), byom("audit", "--since", "2100-01-01")]

    assert "credential.disable credentials/main" in shown.stdout
    assert "leaked" in shown.stdout
    assert [(other.exit_code, other.stdout) for other in others] == [(0, "")] * 3
    assert "genesis" in byom("audit").stdout


def test_the_audit_log_is_verified(byom: Byom, acme: FileStore, home: Path) -> None:
    for _ in range(2):
        byom("credential", "disable", *MAIN, "--version", "1")
    whole = document(byom("audit", "verify", "--json"))
    path = home / ".byom" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ada@desk", b"eve@desk", 1))

    broken = byom("audit", "verify")
    as_json = byom("audit", "verify", "--json")

    assert (whole["ok"], whole["lines"], whole["line"]) == (True, 3, None)
    assert len(whole["head"]) == 64
    assert (broken.exit_code, broken.stdout) == (1, "")
    assert "is not whole: line 2" in broken.stderr
    assert (as_json.exit_code, json.loads(as_json.stdout)["ok"]) == (1, False)


def test_a_head_of_another_log_is_not_found(byom: Byom, acme: FileStore) -> None:
    byom("credential", "disable", *MAIN, "--version", "1")

    assert byom("audit", "verify", "--head", "0" * 64).exit_code == 1


def test_without_a_log_there_is_nothing_to_show(byom: Byom) -> None:
    assert "Nothing is recorded" in byom("audit").stderr
    assert byom("audit", "verify").exit_code == 0


def test_no_secret_shows_in_any_output_nor_in_the_log(
    byom: Byom, acme: FileStore, home: Path, vendors: SimulatorThread
) -> None:
    outputs = [
        byom("credential", "add", *MAIN, "--key-env", "NEW_KEY").output,
        byom("credential", "add", *MAIN, "--key-env", "NEW_KEY", "--activate", "--json").output,
        byom("credential", "list", "-p", "acme").output,
        byom("credential", "list", "-p", "acme", "--json").output,
    ]
    revoke(vendors, NEW)
    outputs += [
        byom("credential", "add", *MAIN, "--key-env", "NEW_KEY").output,
        byom("credential", "verify", *MAIN, "--json").output,
        byom("audit").output,
        byom("audit", "--json").output,
        (home / ".byom" / "audit.jsonl").read_text(encoding="utf-8"),
    ]

    assert not any(key in output for key in (OLD, NEW) for output in outputs)
    assert any(parameter.value.get_secret_value() == NEW for parameter in acme.list(f"{SCOPE}/secrets"))
