"""`byom config export|diff|apply`: the configuration as one file."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from config.connections import effective_chain, read_account
from config.store import FileStore
from tests.unit.cli.config_files import edit, everything
from tests.unit.cli.conftest import SECRET, Byom
from workers.embedded.simulator import Account, KeyState, SimulatorThread

pytestmark = pytest.mark.usefixtures("key")


def test_an_export_holds_what_each_level_sets_and_no_secret(filled: Path) -> None:
    text = filled.read_text(encoding="utf-8")

    assert yaml.safe_load(text)["projects"]["acme"] == {
        "profile": {"account": "corp", "weight": 3.0, "max_waiting": 10_000},
        "connections": {"primary": {"tpm_capacity": 30_000}},
    }
    assert yaml.safe_load(text)["accounts"]["corp"]["connections"]["primary"] == {
        "provider": "openai",
        "model": "gpt-6-luna",
        "credential": "primary",
        "role": "primary",
        "order": 0,
        "labels": {"team": "core"},
        "tpm_capacity": 200_000,
    }
    assert SECRET not in text


def test_export_apply_on_an_empty_store_and_export_give_the_same_bytes(
    byom: Byom, filled: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOM_STORE_URL", f"file:{home / 'empty.json'}")
    applied = byom("config", "apply", str(filled), "--force", "--no-verify")
    exported = byom("config", "export")

    assert applied.exit_code == 0, applied.output
    assert exported.stdout_bytes == filled.read_bytes()


def test_applying_an_export_changes_and_writes_nothing(byom: Byom, filled: Path, store: FileStore) -> None:
    before = everything(store)
    compared, applied = byom("config", "diff", str(filled)), byom("config", "apply", str(filled), "--prune")

    assert (compared.exit_code, applied.exit_code) == (0, 0)
    assert (compared.stdout, applied.stdout) == ("", "")
    assert everything(store) == before


def test_a_difference_is_shown_by_field_and_applied_once(byom: Byom, filled: Path, store: FileStore) -> None:
    edit(
        filled,
        projects__acme__profile__weight=2,
        projects__acme__connections__primary__tpm_capacity=40_000,
        projects__solo__connections__primary__order=None,
        projects__new={"profile": {"account": "corp"}},
    )
    compared = byom("config", "diff", str(filled))
    as_json = json.loads(byom("config", "diff", str(filled), "--json").stdout)
    dry = byom("config", "apply", str(filled), "--dry-run")
    before = everything(store)
    applied = byom("config", "apply", str(filled))
    after = everything(store)
    again = byom("config", "apply", str(filled))

    assert compared.exit_code == 1
    assert compared.stdout.splitlines() == [
        "~ projects.acme.profile",
        "    weight: 3.0 → 2.0",
        "~ projects.acme.connections.primary",
        "    tpm_capacity: 30000 → 40000",
        "+ projects.new.profile",
        "    account: not set → corp",
        "~ projects.solo.connections.primary",
        "    order: 0 → not set",
    ]
    assert as_json["differences"][0] == {
        "path": "projects.acme.profile",
        "action": "changed",
        "fields": {"weight": {"before": 3.0, "after": 2.0}},
    }
    assert (dry.exit_code, dry.stdout) == (0, compared.stdout)
    assert (applied.exit_code, applied.stdout) == (0, compared.stdout)
    assert sum(version for _, version in after) - sum(version for _, version in before) == 4
    assert (again.exit_code, again.stdout, everything(store)) == (0, "", after)
    assert effective_chain(store, "acme")[0].connection.tpm_capacity == 40_000


def test_nothing_is_removed_without_prune(byom: Byom, filled: Path, store: FileStore) -> None:
    edit(filled, projects__solo=None, accounts__corp__connections__fallback=None)
    kept = byom("config", "diff", str(filled))
    pruned = byom("config", "apply", str(filled), "--prune", "--json")

    assert (kept.exit_code, kept.stdout) == (0, "")
    assert [(one["path"], one["action"]) for one in json.loads(pruned.stdout)["differences"]] == [
        ("accounts.corp.connections.fallback", "removed"),
        ("projects.solo.profile", "removed"),
        ("projects.solo.connections.primary", "removed"),
    ]
    assert [link.connection.name for link in effective_chain(store, "acme")] == ["primary"]
    # Secrets are not the file's to remove.
    assert store.get("/byom/projects/solo/credentials/primary") is not None
    assert store.get("/byom/projects/solo/profile") is None


def test_one_level_alone_can_be_exported_compared_and_applied(byom: Byom, filled: Path, store: FileStore) -> None:
    edit(filled, projects__acme__profile__weight=2, projects__solo__profile={"weight": 7})
    exported = yaml.safe_load(byom("config", "export", "-p", "solo").stdout)
    compared = json.loads(byom("config", "diff", str(filled), "-p", "acme", "--json").stdout)
    byom("config", "apply", str(filled), "-p", "acme")
    left = json.loads(byom("config", "diff", str(filled), "--json").stdout)
    account = byom("config", "diff", str(filled), "--account", "corp")

    assert (list(exported), list(exported["projects"])) == (["version", "projects"], ["solo"])
    assert [one["path"] for one in compared["differences"]] == ["projects.acme.profile"]
    assert [one["path"] for one in left["differences"]] == ["projects.solo.profile"]
    assert account.exit_code == 0


def test_pruning_one_project_leaves_the_others(byom: Byom, filled: Path, store: FileStore) -> None:
    edit(filled, projects__solo=None, projects__acme=None)
    byom("config", "apply", str(filled), "--prune", "-p", "solo")

    assert store.get("/byom/projects/solo/profile") is None
    assert store.get("/byom/projects/acme/profile") is not None


@pytest.mark.parametrize(
    "words", [("export",), ("diff", "byom.yaml"), ("apply", "byom.yaml")], ids=lambda words: words[0]
)
def test_a_level_that_is_not_there_is_a_usage_error(byom: Byom, filled: Path, words: tuple[str, ...]) -> None:
    result = byom("config", *words, "-p", "nobody")

    assert result.exit_code == 2
    assert "has no project 'nobody'" in result.stderr


def test_what_changes_in_what_decides_whether_calls_work_is_called_first(
    byom: Byom, filled: Path, store: FileStore, vendors: SimulatorThread
) -> None:
    edit(filled, accounts__corp__connections__primary__base_url=vendors.base_urls["openai"])
    works = json.loads(byom("config", "apply", str(filled), "--json").stdout)
    vendors.put_account(Account(key=SecretStr(SECRET), state=KeyState.REVOKED))
    requests = vendors.books().requests
    edit(filled, accounts__corp__connections__primary__tpm_capacity=1_000_000)
    limits = byom("config", "apply", str(filled))
    unasked = vendors.books().requests - requests
    edit(filled, accounts__corp__connections__primary__model="gpt-5.4-nano")
    before = everything(store)
    refused = byom("config", "apply", str(filled), "--json")
    unchanged = everything(store) == before
    forced = byom("config", "apply", str(filled), "--force")

    # The account's connection, and the project's that overrides one field of it.
    assert [(one["connection"], one["ok"]) for one in works["verifications"]] == [("primary", True)] * 2
    assert (limits.exit_code, unasked) == (0, 0)
    assert refused.exit_code == 1
    assert [one["problem"] for one in json.loads(refused.stderr)["error"]["verifications"]] == ["bad_key"] * 2
    assert unchanged
    assert forced.exit_code == 0


def test_warnings_are_said_and_do_not_stop(byom: Byom, filled: Path) -> None:
    edit(filled, projects__solo__connections__primary__model="gemini-3.5-flash-lite")
    result = byom("config", "apply", str(filled), "--no-verify", "--json")

    [warning] = json.loads(result.stdout)["warnings"]
    assert warning.startswith("connection 'primary' of project 'solo': gemini-3.5-flash-lite cannot switch reasoning")


def test_the_file_may_come_on_stdin(byom: Byom, filled: Path) -> None:
    assert byom("config", "diff", "-", stdin=filled.read_bytes()).exit_code == 0


def test_a_kms_key_that_does_not_work_is_not_applied_unless_forced(byom: Byom, store: FileStore, home: Path) -> None:
    (home / "key.yaml").write_text("version: 1\naccounts: {corp: {profile: {kms_key: alias/corp}}}\n", encoding="utf-8")

    refused = byom("config", "apply", "key.yaml")

    assert refused.exit_code == 1
    assert "the KMS key of account 'corp' does not work, so nothing was applied" in refused.stderr
    assert read_account(store, "corp").kms_key is None

    forced = byom("config", "apply", "key.yaml", "--force")

    assert forced.exit_code == 0
    assert read_account(store, "corp").kms_key == "alias/corp"
