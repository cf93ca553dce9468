"""`byom config apply`: files that do not fit, credentials that are missing, and a process that is killed half-way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import effective_chain
from config.store import FileStore
from tests.unit.cli.config_files import edit, everything
from tests.unit.cli.conftest import SECRET, Byom

pytestmark = pytest.mark.usefixtures("key")

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
