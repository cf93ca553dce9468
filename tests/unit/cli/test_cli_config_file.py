"""`byom config export|diff|apply`: the configuration as one file."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from config.connections import effective_chain, read_account
from config.store import FileStore
from tests.unit.cli.conftest import Byom
from workers.embedded.simulator import Account, KeyState, Latency, Options, SimulatorThread

SECRET = "sk-canary-7d0c1a55e2"
OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna", "--key-env", "MY_KEY")
GEMINI = ("--no-verify", "--provider", "gemini", "--model", "gemini-2.5-flash-lite", "--key-env", "MY_KEY")


@pytest.fixture(autouse=True)
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)


#: File → content, as the first test of this module made it.
_FILLED: dict[str, bytes] = {}


@pytest.fixture
def filled(byom: Byom, store: FileStore, home: Path) -> Path:
    """A store with an account and two projects, and its export."""
    if not _FILLED:
        _fill(byom)
        files = (path for path in home.rglob("*") if path.is_file())
        _FILLED.update({str(path.relative_to(home)): path.read_bytes() for path in files})
    (home / ".byom").mkdir(mode=0o700, exist_ok=True)
    for name, content in _FILLED.items():
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    return home / "byom.yaml"


def _fill(byom: Byom) -> None:
    byom("connection", "add", "--account", "corp", *OPENAI, "--tpm", "200000", "--label", "team=core")
    byom("connection", "add", "--account", "corp", *GEMINI, "--role", "fallback", "--spend-cap-day", "5")
    byom("project", "set", "-p", "acme", "--account", "corp", "--weight", "3", "--max-waiting", "10000")
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")
    byom("connection", "add", "-p", "solo", *GEMINI)
    byom("config", "export", "--output", "byom.yaml")


def edit(path: Path, **changes: Any) -> None:
    """Set values of the file by their dotted paths; None removes."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *way, last = dotted.split("__")
        node = document
        for part in way:
            node = node.setdefault(part, {})
        node.pop(last, None)
        if value is not None:
            node[last] = value
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def everything(store: FileStore) -> list[tuple[str, int]]:
    return [(parameter.path, parameter.version) for parameter in store.list("/byom")]


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


WRONG = {
    "a chain that breaks at the end of it": (
        {"accounts__corp__connections__primary__model": "gpt-nonsense"},
        "is not in the catalogue",
    ),
    "two primaries": ({"accounts__corp__connections__fallback__role": "primary"}, "2 primary connections"),
    "a fallback to itself": (
        {
            "accounts__corp__connections__again": {
                "provider": "openai",
                "model": "gpt-6-luna",
                "credential": "primary",
                "role": "fallback",
                "tpm_capacity": 200_000,
            }
        },
        "account 'corp' would fall back to itself",
    ),
    "an account's key sent elsewhere": (
        {"projects__acme__connections__primary__base_url": "https://collector.example"},
        "would send the account's credential there",
    ),
    "an override of nothing": ({"projects__acme__connections__other": {"tpm_capacity": 1}}, "provider: Field required"),
    "a project that loses what it overrides": ({"projects__acme__profile__account": "other"}, "Field required"),
    "a private address": (
        {"projects__solo__connections__primary__base_url": "http://10.0.0.7/"},
        "connection 'primary' of project 'solo': base_url",
    ),
    "a cap without a price": (
        {
            "projects__solo__connections__primary__model": "new",
            "projects__solo__connections__primary__unverified": True,
            "projects__solo__profile": {"spend_cap_day_usd": "5"},
        },
        "cannot be enforced",
    ),
    "a label that Google does not take": (
        {"projects__solo__connections__primary__labels": {"Team": "core"}},
        "write 'team' instead",
    ),
}


@pytest.mark.parametrize(("changes", "mend"), WRONG.values(), ids=WRONG)
def test_a_file_whose_result_does_not_fit_changes_nothing(
    byom: Byom, filled: Path, store: FileStore, changes: dict[str, Any], mend: str
) -> None:
    before = everything(store)
    # A good change beside the bad one must not get through either.
    edit(filled, projects__new={"profile": {"account": "corp"}}, **changes)

    result = byom("config", "apply", str(filled), "--no-verify")

    assert result.exit_code == 2
    assert mend in result.stderr
    assert everything(store) == before


def test_all_that_is_wrong_is_said_at_once(byom: Byom, filled: Path) -> None:
    edit(
        filled,
        accounts__corp__connections__primary__model="gpt-nonsense",
        projects__solo__connections__primary__labels={"Team": "core"},
    )
    result = byom("config", "apply", str(filled))

    assert "gpt-nonsense" in result.stderr
    assert "write 'team' instead" in result.stderr


def test_missing_credentials_are_listed_with_the_command_for_each(
    byom: Byom, filled: Path, store: FileStore, home: Path
) -> None:
    edit(
        filled,
        projects__new={
            "profile": {"account": "corp"},
            "connections": {
                "own": {"provider": "anthropic", "model": "claude-haiku-5-5", "credential": "ours", "role": "fallback"}
            },
        },
        accounts__other={
            "connections": {"primary": {"provider": "openai", "model": "gpt-6-luna", "credential": "theirs"}}
        },
    )
    before = everything(store)
    refused = byom("config", "apply", str(filled), "--json")
    unchanged = everything(store) == before
    forced = byom("config", "apply", str(filled), "--force")

    error = json.loads(refused.stderr)["error"]
    assert refused.exit_code == 2
    assert error["commands"] == [
        "byom credential add --account other --name theirs --activate --key-env NAME",
        "byom credential add --project new --name ours --activate --key-env NAME",
    ]
    assert unchanged
    assert forced.exit_code == 0
    assert len(effective_chain(store, "new")) == 3


def test_a_credential_of_another_kind_is_refused(byom: Byom, filled: Path, store: FileStore) -> None:
    edit(
        filled,
        projects__solo__connections__primary={
            "provider": "bedrock",
            "model": "global.anthropic.claude-haiku-5-5",
            "credential": "primary",
        },
    )
    result = byom("config", "apply", str(filled), "--no-verify")

    assert result.exit_code == 2
    assert "connection 'primary' of project 'solo': the credential 'primary' is not the ARN of a role" in result.stderr


@pytest.fixture
def vendors() -> Iterator[SimulatorThread]:
    with SimulatorThread(Options(latency=Latency.fixed(0), seed=1)) as running:
        yield running


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


@pytest.mark.parametrize(
    "content",
    [
        f"version: 1\nprojects: {{acme: {{connections: {{primary: {{api_key: {SECRET}}}}}}}}}",
        f"{SECRET}: &x [*x",
        SECRET,
    ],
)
@pytest.mark.parametrize("command", ["diff", "apply"])
def test_a_file_with_a_secret_is_refused_and_the_secret_not_shown(
    byom: Byom, home: Path, command: str, content: str
) -> None:
    (home / "byom.yaml").write_text(content, encoding="utf-8")

    result = byom("config", command, "byom.yaml")

    assert result.exit_code == 2
    assert "canary" not in result.output
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_a_usage_error(byom: Byom) -> None:
    assert byom("config", "apply", "nowhere.yaml").exit_code == 2
    assert byom("config", "export", "--output", "nowhere/byom.yaml").exit_code == 2


def test_a_damaged_connection_is_named_with_the_mend_and_can_be_applied_over(
    byom: Byom, filled: Path, store: FileStore
) -> None:
    store.put("/byom/projects/solo/connections/primary", SecretStr('{"colour": "green"}'), secure=False)
    exported = byom("config", "export")
    applied = byom("config", "apply", str(filled), "--no-verify")

    assert exported.exit_code == 2
    assert "byom connection remove --project solo --name primary" in exported.stderr
    assert applied.exit_code == 0, applied.output
    assert effective_chain(store, "solo")[0].connection.provider == "gemini"


KILLED = """
import os, sys
from config.store import FileStore
writes = 0
put = FileStore.put
limit = int(sys.argv[1])
del sys.argv[1]
def counting(self, *args, **kwargs):
    global writes
    writes += 1
    if writes > limit:
        os._exit(9)
    return put(self, *args, **kwargs)
FileStore.put = counting
from workers.cli import main
main()
"""


@pytest.mark.parametrize("limit", [1, 3])
def test_a_process_that_is_killed_in_the_middle_is_repaired_by_applying_again(
    byom: Byom, filled: Path, home: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file:{home / 'empty.json'}"
    words = ["config", "apply", str(filled), "--force", "--no-verify"]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(limit), *words],
        env={**os.environ, "BYOM_STORE_URL": url, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    monkeypatch.setenv("BYOM_STORE_URL", url)
    half = len(list(FileStore(home / "empty.json").list("/byom")))
    compared = byom("config", "diff", str(filled))
    again = byom("config", "apply", str(filled), "--force", "--no-verify")

    assert ended.returncode == 9, ended.stderr
    assert (half, compared.exit_code, again.exit_code) == (limit, 1, 0)
    assert byom("config", "export").stdout_bytes == filled.read_bytes()


def test_a_kms_key_that_does_not_work_is_not_applied_unless_forced(byom: Byom, store: FileStore, home: Path) -> None:
    (home / "key.yaml").write_text("version: 1\naccounts: {corp: {profile: {kms_key: alias/corp}}}\n", encoding="utf-8")

    refused = byom("config", "apply", "key.yaml")

    assert refused.exit_code == 1
    assert "the KMS key of account 'corp' does not work, so nothing was applied" in refused.stderr
    assert read_account(store, "corp").kms_key is None

    forced = byom("config", "apply", "key.yaml", "--force")

    assert forced.exit_code == 0
    assert read_account(store, "corp").kms_key == "alias/corp"
