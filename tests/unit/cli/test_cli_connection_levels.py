"""`byom connection` for accounts and for what a project overrides: `set`, `show`, shared credentials."""

import json

import pytest
from pydantic import SecretStr

from config.connections import account_path, effective_chain, read_project
from config.credentials import fingerprint, history_of, save_credential
from config.store import FileStore
from tests.unit.cli.conftest import SECRET, Byom, document
from workers.embedded.simulator import Account, KeyState, SimulatorThread

pytestmark = pytest.mark.usefixtures("key")

OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna")


@pytest.fixture
def corp(byom: Byom, store: FileStore) -> FileStore:
    """An account with a primary, and a project that inherits it."""
    byom("connection", "add", "--account", "corp", *OPENAI, "--key-env", "MY_KEY", "--tpm", "200000", "--label", "a=b")
    byom("project", "set", "-p", "acme", "--account", "corp")
    return store


def test_an_accounts_connection_is_the_default_of_its_projects(byom: Byom, corp: FileStore) -> None:
    [link] = effective_chain(corp, "acme")

    assert link.connection.tpm_capacity == 200_000
    assert link.credential_path == "/byom/accounts/corp/credentials/primary"
    assert link.origins["model"] == "account"


def test_an_accounts_connections_are_listed_and_removed(byom: Byom, corp: FileStore) -> None:
    listed = json.loads(byom("connection", "list", "--account", "corp", "--json").stdout)
    removed = byom("connection", "remove", "--account", "corp", "--name", "primary", "--yes", "--json")

    assert [(link["name"], link["project"], link["account"]) for link in listed] == [("primary", None, "corp")]
    assert json.loads(removed.stdout) == {
        "account": "corp",
        "name": "primary",
        "removed": True,
        "credential_removed": True,
    }
    assert list(corp.secrets(account_path("corp"))) == []
    [kept] = corp.list(account_path("corp"))
    history = history_of(corp, account_path("corp"), "primary")
    assert history is not None
    assert (kept.path, history.left) == (f"{account_path('corp')}/credentials/primary", [])


@pytest.mark.parametrize("words", [("show",), ("set", "--name", "x"), ("remove", "--name", "x"), ("add",)], ids=str)
@pytest.mark.parametrize("levels", [(), ("-p", "acme", "--account", "corp")], ids=["no level", "two levels"])
def test_one_level_must_be_named(byom: Byom, words: tuple[str, ...], levels: tuple[str, ...]) -> None:
    result = byom("connection", *words, *levels)

    assert result.exit_code == 2
    assert "--project P, or --account A" in result.stderr


def test_a_project_overrides_one_field_of_what_it_inherits(byom: Byom, corp: FileStore) -> None:
    result = byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")

    [link] = effective_chain(corp, "acme")
    assert result.exit_code == 0, result.output
    assert document(corp, "/byom/projects/acme") == {"tpm_capacity": 30_000}
    assert (link.connection.tpm_capacity, link.connection.model) == (30_000, "gpt-6-luna")
    assert (link.origins["tpm_capacity"], link.origins["model"]) == ("project", "account")


def test_setting_the_same_again_writes_nothing(byom: Byom, corp: FileStore) -> None:
    words = ("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000", "--json")
    first, before = json.loads(byom(*words).stdout), list(corp.list("/byom"))
    second = json.loads(byom(*words).stdout)

    assert (first["changed"], second["changed"]) == (True, False)
    assert list(corp.list("/byom")) == before


def test_an_override_that_says_nothing_any_more_goes(byom: Byom, corp: FileStore) -> None:
    words = ("connection", "set", "-p", "acme", "--name", "primary")
    byom(*words, "--set", "tpm_capacity=30000")
    byom(*words, "--unset", "tpm_capacity")
    again = byom(*words, "--unset", "tpm_capacity")

    assert document(corp, "/byom/projects/acme") is None
    assert effective_chain(corp, "acme")[0].connection.tpm_capacity == 200_000
    assert again.exit_code == 0


def test_labels_are_set_and_unset_one_by_one(byom: Byom, corp: FileStore) -> None:
    words = ("connection", "set", "--account", "corp", "--name", "primary")
    byom(*words, "--set", "labels.team=core", "--unset", "labels.a")
    set_ = document(corp, "/byom/accounts/corp")["labels"]
    byom(*words, "--unset", "labels.team")

    assert set_ == {"team": "core"}
    assert "labels" not in document(corp, "/byom/accounts/corp")


def test_null_takes_a_value_away(byom: Byom, corp: FileStore) -> None:
    words = ("connection", "set", "--account", "corp", "--name", "primary", "--set")
    byom(*words, "max_concurrency=4")
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "max_concurrency=null")

    [link] = effective_chain(corp, "acme")
    assert (link.connection.max_concurrency, link.origins["max_concurrency"]) == (None, "project")


REFUSED_EDITS = {
    "an unknown field": (("--set", "tpm=1"), "did you mean"),
    "a field that is far from any": (("--set", "xyzzy=1"), "there are: provider, model"),
    "an unknown field to unset": (("--unset", "colour"), "no connection has a field of this name"),
    "a value that does not fit": (("--set", "tpm_capacity=many"), "tpm_capacity: "),
    "no value": (("--set", "tpm_capacity"), "--set number 1 is not KEY=VALUE"),
    "set and unset": (("--set", "model=m", "--unset", "model"), "both set and unset"),
    "all labels at once": (("--set", "labels=a"), "--set labels.KEY=VALUE"),
    "the account's key to another server": (("--set", "base_url=https://x.example/v1"), "would send the account's"),
    "a model that the catalogue lacks": (("--set", "model=gpt-nonsense"), "is not in the catalogue"),
    "a private address": (("--set", "base_url=http://10.0.0.7/v1", "--set", "credential=own"), "base_url"),
    "a credential that is not there": (("--set", "credential=own"), "byom credential add --project acme --name own"),
    "a key as a credential's name": (("--set", f"credential={SECRET}"), "credential looks like an API key"),
    "half a bucket": (("--set", "output_tpm_capacity=1000"), "go together"),
    "a cap without a price": (
        ("--set", "model=gpt-nonsense", "--set", "unverified=true", "--set", "spend_cap_day_usd=5"),
        "its spend cap cannot be enforced: the price of gpt-nonsense of openai is not known",
    ),
}


@pytest.mark.parametrize(("words", "mend"), REFUSED_EDITS.values(), ids=REFUSED_EDITS)
def test_an_edit_that_does_not_fit_changes_nothing(
    byom: Byom, corp: FileStore, words: tuple[str, ...], mend: str
) -> None:
    before = list(corp.list("/byom"))

    result = byom("connection", "set", "-p", "acme", "--name", "primary", *words)

    assert result.exit_code == 2
    assert mend in result.stderr
    assert SECRET not in result.output
    assert list(corp.list("/byom")) == before


def test_a_connection_that_is_nowhere_cannot_be_set(byom: Byom, corp: FileStore) -> None:
    result = byom("connection", "set", "-p", "acme", "--name", "other", "--set", "tpm_capacity=1000")

    assert result.exit_code == 2
    assert "neither of its own nor inherited; add one with: byom connection add --project acme" in result.stderr


def test_an_account_cannot_break_a_project_that_inherits_from_it(byom: Byom, corp: FileStore) -> None:
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "organization=o", "--no-verify")
    before = list(corp.list("/byom"))
    other = byom(
        *("connection", "add", "--account", "corp", "--provider", "gemini", "--model", "gemini-2.5-flash-lite"),
        *("--key-env", "MY_KEY", "--no-verify"),
    )
    removed = byom("connection", "remove", "--account", "corp", "--name", "primary", "--yes")

    assert (other.exit_code, removed.exit_code) == (2, 2)
    assert "this would break project 'acme', which inherits from account 'corp'" in other.stderr
    assert "this would break project 'acme'" in removed.stderr
    assert list(corp.list("/byom")) == before


def test_a_hidden_connection_of_the_account_cannot_be_overridden_into_a_second_primary(
    byom: Byom, corp: FileStore
) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--name", "mine", "--key-env", "MY_KEY")

    result = byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=1")

    assert result.exit_code == 2
    assert "2 primary connections" in result.stderr


def test_an_accounts_connection_is_verified_with_the_accounts_credential(
    byom: Byom, vendors: SimulatorThread, store: FileStore
) -> None:
    words = ("--provider", "openai", "--model", "gpt-6-luna", "--base-url", vendors.base_urls["openai"])
    added = byom("connection", "add", "--account", "corp", *words, "--key-env", "MY_KEY", "--json")
    calls_before = vendors.books().requests
    vendors.put_account(Account(key=SecretStr(SECRET), state=KeyState.REVOKED))
    edit = ("connection", "set", "--account", "corp", "--name", "primary")
    limits = byom(*edit, "--set", "tpm_capacity=30000", "--json")
    calls_after = vendors.books().requests
    refused = byom(*edit, "--set", "model=gpt-5.4-nano")
    forced = byom(*edit, "--set", "model=gpt-5.4-nano", "--force", "--json")

    assert json.loads(added.stdout)["verified"] is True
    assert json.loads(added.stdout)["account"] == "corp"
    # Limits say nothing of whether calls work: no call, though the key is revoked.
    assert (limits.exit_code, json.loads(limits.stdout)["verification"]) == (0, None)
    assert calls_after == calls_before
    assert refused.exit_code == 1
    assert "connection 'primary' of account 'corp' does not work" in refused.stderr
    assert json.loads(forced.stdout)["verified"] is False
    assert document(store, "/byom/accounts/corp")["model"] == "gpt-5.4-nano"


def test_several_connections_share_a_credential(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    second = (*OPENAI[:-1], "gpt-5.4-nano", "--role", "fallback", "--credential", "primary", "--json")
    result = byom("connection", "add", "-p", "acme", *second)

    links = effective_chain(store, "acme")
    assert json.loads(result.stdout)["credential_version"] == 1
    assert {link.credential_path for link in links} == {"/byom/projects/acme/credentials/primary"}
    assert byom("connection", "remove", "-p", "acme", "--name", "fallback", "--yes").exit_code == 0
    assert store.get("/byom/projects/acme/credentials/primary") is not None


def test_a_credential_that_is_not_there_needs_force(byom: Byom, store: FileStore) -> None:
    words = ("connection", "add", "-p", "acme", *OPENAI, "--credential", "later")
    refused, forced = byom(*words), byom(*words, "--force", "--json")

    assert refused.exit_code == 2
    assert "byom credential add --project acme --name later" in refused.stderr
    assert json.loads(forced.stdout)["credential_version"] is None


def test_a_credential_of_another_kind_cannot_be_shared(byom: Byom, store: FileStore) -> None:
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY")
    words = ("--provider", "bedrock", "--model", "global.anthropic.claude-haiku-5-5", "--role", "fallback")

    result = byom("connection", "add", "-p", "acme", *words, "--credential", "primary", "--no-verify")

    assert result.exit_code == 2
    assert "the credential 'primary' is not the ARN of a role" in result.stderr


def test_a_key_and_the_name_of_one_are_too_much(byom: Byom) -> None:
    result = byom("connection", "add", "-p", "acme", *OPENAI, "--credential", "x", "--key-env", "MY_KEY")

    assert result.exit_code == 2


def test_the_credential_of_another_level_is_never_found(byom: Byom, store: FileStore) -> None:
    save_credential(store, "/byom/projects/other", "theirs", SecretStr(SECRET))
    save_credential(store, "/byom/accounts/corp", "theirs", SecretStr(SECRET))
    byom("project", "set", "-p", "acme", "--account", "corp")

    assert byom("connection", "add", "-p", "acme", *OPENAI, "--credential", "theirs").exit_code == 2


def test_show_says_every_value_that_is_in_effect_and_who_set_it(byom: Byom, corp: FileStore) -> None:
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")
    shown = byom("connection", "show", "-p", "acme").stdout
    [document] = json.loads(byom("connection", "show", "-p", "acme", "--name", "primary", "--json").stdout)

    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line and not line.startswith(" ")}
    mark = fingerprint(SecretStr(SECRET))
    assert rows["tpm_capacity"] == ["30000", "project"]
    assert rows["model"] == ["gpt-6-luna", "account"]
    assert rows["max_concurrency"] == ["-", "default"]
    assert rows["labels"] == ["a=b", "account"]
    assert rows["credential"] == ["primary", "v1", f"#{mark}", "account"]
    assert "region" not in rows
    assert document["credential"] == {"name": "primary", "version": 1, "fingerprint": mark}
    assert (document["meter"], document["tenant"]) == (
        "/byom/accounts/corp/credentials/primary#gpt-6-luna@acme",
        "a/corp",
    )
    assert (document["origins"]["tpm_capacity"], document["warnings"]) == ("project", [])
    assert SECRET not in shown


def test_show_of_what_is_not_there_is_a_usage_error(byom: Byom, corp: FileStore) -> None:
    results = [
        byom("connection", "show", "-p", "acme", "--name", "other"),
        byom("connection", "show", "-p", "nobody"),
        byom("connection", "show", "--account", "nobody"),
    ]

    assert [result.exit_code for result in results] == [2, 2, 2]
    assert "it has: primary" in results[0].stderr


def test_adding_to_a_project_leaves_its_profile_as_it_is(byom: Byom, corp: FileStore) -> None:
    byom("project", "set", "-p", "acme", "--weight", "3")
    byom("connection", "add", "-p", "acme", *OPENAI, "--key-env", "MY_KEY", "--name", "mine")

    profile = read_project(corp, "acme")
    assert profile is not None
    assert (profile.weight, profile.account) == (3, "corp")
