"""`byom connection`: what it saves, what it refuses, and that no secret ever shows."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.connections import account_path, effective_chain, project_path, save_connection, save_project
from config.credentials import fingerprint, history_of, read_credential, save_credential
from config.store import FileStore
from tasks.contract import ProviderKind
from tests.unit.cli.conftest import SECRET, Byom

pytestmark = pytest.mark.usefixtures("key")

#: No calls here; verification is `test_cli_verification`.
OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna")
COMPATIBLE = (
    "--no-verify",
    *("--provider", "openai_compatible", "--model", "m"),
    *("--base-url", "http://127.0.0.1:8000/v1"),
)


def test_a_connection_is_saved_with_its_key_and_its_project(byom: Byom, store: FileStore) -> None:
    result = byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", "--label", "team=core")

    [link] = effective_chain(store, "acme")
    credential = read_credential(store, link)
    assert result.exit_code == 0
    assert link.connection.name == "primary"
    assert link.connection.labels == {"team": "core"}
    assert credential is not None
    assert credential.secret.get_secret_value() == SECRET
    assert "not verified" in result.stdout


def test_a_file_and_stdin_serve_as_well_as_a_variable(byom: Byom, store: FileStore, home: Path) -> None:
    (home / "key.txt").write_text(f"{SECRET}-file\n", encoding="utf-8")
    byom("connection", "add", "-p", "one", *OPENAI, "--key-file", "key.txt")
    byom("connection", "add", "-p", "two", *OPENAI, "--key-stdin", stdin=f"{SECRET}-stdin\n")

    saved = [read_credential(store, effective_chain(store, project)[0]) for project in ("one", "two")]
    assert [credential.secret.get_secret_value() for credential in saved if credential] == [
        f"{SECRET}-file",
        f"{SECRET}-stdin",
    ]


def test_settings_of_the_provider_are_saved(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", "--set", "organization=org-7")

    assert effective_chain(store, "acme")[0].connection.organization == "org-7"


def test_saving_again_rotates_the_key(byom: Byom, monkeypatch: pytest.MonkeyPatch) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    monkeypatch.setenv("MY_KEY", f"{SECRET}-new")
    result = byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", "--json")

    assert json.loads(result.stdout)["credential_version"] == 2


def test_a_fallback_alone_is_saved_with_a_remark(byom: Byom, store: FileStore) -> None:
    result = byom("connection", "add", "-p", "acme", *COMPATIBLE, "--role", "fallback", "--order", "2")

    assert result.exit_code == 0
    assert "no primary" in result.stdout
    assert store.get("/byom/projects/acme/connections/fallback") is not None


REFUSED = {
    "a model that the catalogue lacks": ("--provider", "openai", "--model", "gpt-nonsense", "--key-env", "MY_KEY"),
    "no key": OPENAI,
    "an empty variable": (*OPENAI, "--key-env", "NOT_SET"),
    "two sources of the key": (*OPENAI, "--key-env", "MY_KEY", "--key-stdin"),
    "a missing key file": (*OPENAI, "--key-file", "nowhere"),
    "no endpoint": ("--provider", "openai_compatible", "--model", "m"),
    "an endpoint that holds a password": (*COMPATIBLE[:-1], "https://me:hidden@example.com/v1"),
    "an endpoint in a private network": (*COMPATIBLE[:-1], "http://10.0.0.7/v1"),
    "a label without a value": (*OPENAI, "--key-env", "MY_KEY", "--label", "team"),
    "a setting without a value": (*OPENAI, "--key-env", "MY_KEY", "--set", "organization="),
    "a setting of another provider": (*OPENAI, "--key-env", "MY_KEY", "--set", "region=eu-west-1"),
    "a setting that has its own option": (*OPENAI, "--key-env", "MY_KEY", "--set", "base_url=https://x.example"),
    "a credential as a setting": (*OPENAI, "--key-env", "MY_KEY", "--set", "credential=other"),
    "an unknown setting": (*OPENAI, "--key-env", "MY_KEY", "--set", "colour=green"),
    "a second primary": (*OPENAI, "--key-env", "MY_KEY", "--name", "other"),
    "a name that is none": (*OPENAI, "--key-env", "MY_KEY", "--name", "../primary"),
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_leaves_nothing_behind(
    byom: Byom, store: FileStore, arguments: tuple[str, ...]
) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    before = list(store.list("/byom"))

    result = byom("connection", "add", "-p", "acme", *arguments)

    assert result.exit_code == 2
    assert SECRET not in result.output
    assert list(store.list("/byom")) == before


def test_a_provider_that_this_version_cannot_call_is_refused(
    byom: Byom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.connection.build_providers", dict)

    result = byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")

    assert result.exit_code == 2
    assert "cannot call openai yet" in result.stderr
    assert not (home / ".byom").exists()


@pytest.mark.parametrize("content", [b"two words", b"two\nlines", "schlüssel".encode(), b"\xff\xfe"])
def test_a_key_that_no_header_could_carry_is_refused_without_showing_it(byom: Byom, home: Path, content: bytes) -> None:
    (home / "key.txt").write_bytes(content)

    result = byom("connection", "add", "-p", "acme", *OPENAI, "--key-file", "key.txt")

    assert result.exit_code == 2
    assert content.decode(errors="replace") not in result.output
    assert not (home / ".byom").exists()


def test_a_project_name_that_could_leave_its_place_is_refused(byom: Byom) -> None:
    assert byom("connection", "add", "-p", "../acme", *OPENAI, "--key-env", "MY_KEY").exit_code == 2


def test_the_effective_chain_is_listed_with_fingerprints_and_origins(byom: Byom, store: FileStore) -> None:
    save_credential(store, account_path("corp"), "shared", SecretStr(f"{SECRET}-shared"))
    inherited = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "shared"}
    save_connection(store, account_path("corp"), inherited)
    save_project(store, "acme", account="corp")
    byom("connection", "add", "-p", "acme", *COMPATIBLE, "--role", "fallback", "--key-env", "MY_KEY")

    primary, fallback = json.loads(byom("connection", "list", "-p", "acme", "--json").stdout)

    assert (primary["account"], primary["origins"]["model"]) == ("corp", "account")
    assert primary["credential"] == {
        "name": "shared",
        "version": 1,
        "fingerprint": fingerprint(SecretStr(f"{SECRET}-shared")),
    }
    assert fallback["origins"]["model"] == "project"


def test_a_project_keeps_its_account_when_a_connection_is_added(byom: Byom, store: FileStore) -> None:
    save_project(store, "acme", account="corp")
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")

    assert effective_chain(store, "acme")[0].account == "corp"


def test_no_secret_shows_in_any_output(byom: Byom) -> None:
    outputs = [
        byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", "--json").output,
        byom("connection", "list").output,
        byom("connection", "list", "--json").output,
        byom("doctor", "--flower-url", "http://127.0.0.1:1").output,
    ]

    assert all(SECRET not in output for output in outputs)


def test_a_missing_credential_is_listed_as_missing(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    store.delete("/byom/projects/acme/credentials/primary")

    assert "MISSING" in byom("connection", "list").stdout


def test_an_unknown_project_cannot_be_listed(byom: Byom) -> None:
    assert byom("connection", "list", "-p", "nobody").exit_code == 2


def test_without_connections_the_list_says_how_to_add_one(byom: Byom) -> None:
    result = byom("connection", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "byom connection add" in result.stderr


def test_a_connection_is_removed_with_its_key(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    result = byom("connection", "remove", "-p", "acme", "--name", "primary", "--yes", "--json")

    assert json.loads(result.stdout)["credential_removed"] is True
    history = history_of(store, project_path("acme"), "primary")
    assert list(store.list("/byom/projects/acme/secrets")) == []
    assert list(store.list("/byom/projects/acme/connections")) == []
    # What it was stays known, so that its number is not given again.
    assert history is not None
    assert (history.left, history.next) == ([], 2)


def test_a_key_that_another_connection_uses_is_kept(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    shared = {"name": "second", "provider": ProviderKind.OPENAI, "model": "gpt-6-luna", "role": "fallback"}
    save_connection(store, project_path("acme"), {**shared, "credential": "primary"})

    result = byom("connection", "remove", "-p", "acme", "--name", "primary", "--yes", "--json")

    assert json.loads(result.stdout)["credential_removed"] is False
    assert store.get("/byom/projects/acme/credentials/primary") is not None


def test_a_damaged_connection_can_be_removed(byom: Byom, store: FileStore) -> None:
    save_project(store, "acme")
    store.put("/byom/projects/acme/connections/primary", SecretStr("not json"), secure=False)

    assert byom("connection", "remove", "-p", "acme", "--name", "primary", "--yes").exit_code == 0


def test_removing_asks_first(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")

    declined = byom("connection", "remove", "-p", "acme", "--name", "primary", stdin="n\n")
    unasked = byom("connection", "remove", "-p", "acme", "--name", "primary", "--json")

    assert declined.exit_code == 1
    assert unasked.exit_code == 2
    assert len(effective_chain(store, "acme")) == 1


def test_removing_what_is_not_there_is_a_usage_error(byom: Byom) -> None:
    assert byom("connection", "remove", "-p", "acme", "--name", "primary", "--yes").exit_code == 2
