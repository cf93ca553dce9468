"""What a project calls, in which order and with whose credential."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import (
    EffectiveConnection,
    account_path,
    effective_chain,
    list_projects,
    project_path,
    save_project,
)
from config.credentials import read_credential, save_credential
from config.errors import ConfigError, CredentialMissing, InvalidConnection, NoConnection, StoreError, UnknownProject
from config.store import MemoryStore, join_path

Documents = dict[str, dict[str, Any]]

OPENAI = {"provider": "openai", "model": "gpt-6-luna", "credential": "key"}
GEMINI = {"provider": "gemini", "model": "gemini-2.5-flash-lite", "credential": "key"}
SERVER = {"provider": "openai_compatible", "model": "qwen3-8b", "base_url": "http://127.0.0.1:8000/v1"}
FALLBACK = {"role": "fallback"}


def stored(project: Documents, account: Documents | None = None) -> MemoryStore:
    """A store as an operator may have filled it, past every check of saving."""
    store = MemoryStore()
    save_project(store, "acme", account=None if account is None else "corp")
    for scope, documents in ((project_path("acme"), project), (account_path("corp"), account or {})):
        for name, document in documents.items():
            store.put(join_path(scope, "connections", name), SecretStr(json.dumps(document)), secure=False)
    return store


def chain(project: Documents, account: Documents | None = None) -> list[EffectiveConnection]:
    return effective_chain(stored(project, account), "acme")


def only(project: Documents, account: Documents | None = None) -> EffectiveConnection:
    [link] = chain(project, account)
    return link


@pytest.mark.parametrize(
    ("project", "account", "names"),
    [
        pytest.param({"main": OPENAI}, None, ["main"], id="own primary"),
        pytest.param({}, {"main": OPENAI}, ["main"], id="inherited primary"),
        pytest.param({}, {"main": OPENAI, "backup": GEMINI | FALLBACK}, ["main", "backup"], id="inherited chain"),
        pytest.param({"mine": OPENAI}, {"main": OPENAI}, ["mine"], id="own primary hides the account's"),
        pytest.param(
            {"mine": OPENAI},
            {"main": OPENAI, "backup": GEMINI | FALLBACK},
            ["mine", "backup"],
            id="own primary keeps the account's fallbacks",
        ),
        pytest.param(
            {"spare": GEMINI | FALLBACK},
            {"main": OPENAI},
            ["main", "spare"],
            id="own fallback behind inherited primary",
        ),
        pytest.param(
            {"backup": {"model": "gemini-3.5-flash-lite"}},
            {"main": OPENAI, "backup": GEMINI | FALLBACK},
            ["main", "backup"],
            id="an override of a fallback that says nothing of its role is a fallback",
        ),
        pytest.param(
            {"main": {"model": "gpt-5.4-nano"}},
            {"main": OPENAI},
            ["main"],
            id="an override of the primary is the primary",
        ),
        pytest.param(
            {"main": FALLBACK, "mine": GEMINI}, {"main": OPENAI}, ["mine", "main"], id="demoting the account's primary"
        ),
        pytest.param(
            {"backup": {"role": "primary"}},
            {"main": OPENAI, "backup": GEMINI | FALLBACK},
            ["backup"],
            id="promoting the account's fallback hides its primary",
        ),
        pytest.param(
            {"main": OPENAI, "c": GEMINI | FALLBACK, "a": GEMINI | FALLBACK | {"order": 2}, "b": GEMINI | FALLBACK},
            None,
            ["main", "b", "c", "a"],
            id="fallbacks by order, then by name",
        ),
        pytest.param(
            {"z": GEMINI | FALLBACK | {"order": 1}},
            {"main": OPENAI, "a": GEMINI | FALLBACK | {"order": 2}, "b": GEMINI | FALLBACK},
            ["main", "b", "z", "a"],
            id="own and inherited fallbacks in one order",
        ),
        pytest.param({"main": OPENAI | {"order": 9}, "a": GEMINI | FALLBACK}, None, ["main", "a"], id="primary first"),
    ],
)
def test_the_chain_is_the_primary_and_then_the_fallbacks(
    project: Documents, account: Documents | None, names: list[str]
) -> None:
    assert [link.connection.name for link in chain(project, account)] == names


def test_an_override_replaces_field_by_field_and_says_where_each_value_comes_from() -> None:
    link = only(
        {"main": {"model": "gpt-5.4-nano", "labels": {"team": "search"}}},
        {"main": OPENAI | {"tpm_capacity": 5_000, "labels": {"cost": "7"}}},
    )

    connection = link.connection
    assert (connection.provider, connection.model, connection.tpm_capacity) == ("openai", "gpt-5.4-nano", 5_000)
    assert connection.labels == {"team": "search"}
    assert {
        name: link.origins[name] for name in ("model", "labels", "provider", "credential", "tpm_capacity", "role")
    } == {
        "model": "project",
        "labels": "project",
        "provider": "account",
        "credential": "account",
        "tpm_capacity": "account",
        "role": "default",
    }
    assert link.origins.keys() == type(connection).model_fields.keys()
    assert (link.project, link.account) == ("acme", "corp")


@pytest.mark.parametrize(
    ("project", "account", "error", "message"),
    [
        pytest.param({}, None, NoConnection, "no primary connection; add one with: byom connection add", id="none"),
        pytest.param({"a": GEMINI | FALLBACK}, None, NoConnection, "no primary connection", id="only a fallback"),
        pytest.param({}, {}, NoConnection, "no primary connection", id="none in the account either"),
        pytest.param(
            {"a": OPENAI, "b": OPENAI}, None, InvalidConnection, r"2 primary connections \(a, b\)", id="two of its own"
        ),
        pytest.param(
            {},
            {"a": OPENAI, "b": OPENAI},
            InvalidConnection,
            r"2 primary connections \(a, b\)",
            id="two in the account",
        ),
        pytest.param(
            {"a": {"provider": "openai"}},
            None,
            InvalidConnection,
            "connection 'a' of project 'acme'.*model: ",
            id="half",
        ),
        pytest.param(
            {"a": OPENAI | {"credential": None}},
            None,
            InvalidConnection,
            "a credential is required",
            id="no credential",
        ),
        pytest.param(
            {"a": SERVER | {"base_url": None}}, None, InvalidConnection, "base_url is required", id="no address"
        ),
        pytest.param({"a": OPENAI | {"later": 1}}, None, InvalidConnection, "later: Extra inputs", id="unknown field"),
    ],
)
def test_a_project_that_cannot_be_called_is_refused_with_the_mend(
    project: Documents, account: Documents | None, error: type[ConfigError], message: str
) -> None:
    with pytest.raises(error, match=message):
        chain(project, account)


def test_an_unknown_project_is_refused_with_the_mend() -> None:
    with pytest.raises(UnknownProject, match="byom connection add --project nobody"):
        effective_chain(MemoryStore(), "nobody")


@pytest.mark.parametrize("name", ["", "..", "a/b", "acme/profile", "a\n", "ä"], ids=ascii)
def test_a_name_that_could_reach_into_another_project_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match="is not a name"):
        effective_chain(MemoryStore(), name)
    with pytest.raises(StoreError, match="is not a name"):
        save_project(MemoryStore(), name)
    with pytest.raises(StoreError, match="is not a name"):
        save_credential(MemoryStore(), project_path("acme"), name, SecretStr("sk"))


@pytest.mark.parametrize("text", ['{"CANARY', '"CANARY"', '["CANARY"]', "null"])
def test_a_damaged_document_is_reported_without_quoting_it(text: str) -> None:
    store = stored({"main": OPENAI})
    store.put("/byom/projects/acme/connections/main", SecretStr(text), secure=False)

    with pytest.raises(InvalidConnection, match="connection 'main' of /byom/projects/acme is stored damaged") as caught:
        effective_chain(store, "acme")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("profile", ["{", "[]", '{"account": 7}', '{"account": ["corp"]}'])
def test_a_damaged_profile_is_reported(profile: str) -> None:
    store = MemoryStore()
    store.put("/byom/projects/acme/profile", SecretStr(profile), secure=False)

    with pytest.raises(InvalidConnection, match="the profile of project 'acme' is stored damaged"):
        effective_chain(store, "acme")


def test_projects_are_listed_by_their_profiles_and_not_by_what_else_is_called_so() -> None:
    store = stored({"profile": OPENAI})
    save_credential(store, project_path("acme"), "profile", SecretStr("sk"))
    save_project(store, "beta")

    assert list_projects(store) == ["acme", "beta"]


# Whose credential


def with_keys(store: MemoryStore, name: str = "key") -> MemoryStore:
    save_credential(store, account_path("corp"), name, SecretStr("account's"))
    save_credential(store, project_path("acme"), name, SecretStr("project's"))
    return store


@pytest.mark.parametrize(
    ("project", "account", "owner"),
    [
        pytest.param({"main": OPENAI}, {}, "project's", id="own connection"),
        pytest.param({}, {"main": OPENAI}, "account's", id="inherited connection"),
        pytest.param({"main": {"model": "m"}}, {"main": OPENAI}, "account's", id="override of the model only"),
        pytest.param({"main": {"credential": "key"}}, {"main": OPENAI}, "project's", id="the same name, but its own"),
        pytest.param({"main": OPENAI}, {"main": OPENAI}, "project's", id="all of it overridden"),
    ],
)
def test_a_credential_belongs_to_the_level_that_named_it(project: Documents, account: Documents, owner: str) -> None:
    store = with_keys(stored(project, account))
    [link] = effective_chain(store, "acme")

    credential = read_credential(store, link)

    assert credential is not None
    assert credential.secret.get_secret_value() == owner


@pytest.mark.parametrize(
    ("project", "account", "present"),
    [
        pytest.param({}, {"main": OPENAI}, project_path("acme"), id="inherited name, secret at the project only"),
        pytest.param({"main": OPENAI}, {}, account_path("corp"), id="own name, secret at the account only"),
        pytest.param(
            {"main": {"credential": "key"}},
            {"main": OPENAI},
            account_path("corp"),
            id="own name over inherited connection",
        ),
    ],
)
def test_a_name_never_resolves_at_the_other_level(project: Documents, account: Documents, present: str) -> None:
    store = stored(project, account)
    save_credential(store, present, "key", SecretStr("sk-CANARY"))
    [link] = effective_chain(store, "acme")

    with pytest.raises(CredentialMissing, match="names the credential 'key', which is not in the store") as caught:
        read_credential(store, link)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        pytest.param({"base_url": "https://collector.example.com/v1"}, id="endpoint"),
        pytest.param({"provider": "gemini"}, id="provider"),
        pytest.param({"provider": "openai_compatible", "base_url": "https://collector.example.com"}, id="both"),
        pytest.param({"base_url": None}, id="from a gateway to the public endpoint"),
        pytest.param({"base_url": "https://gateway.example.com/v1/"}, id="almost the same"),
    ],
)
def test_a_project_cannot_have_the_accounts_credential_sent_elsewhere(override: dict[str, Any]) -> None:
    account = {"main": OPENAI | {"base_url": "https://gateway.example.com/v1"}}

    with pytest.raises(
        InvalidConnection, match=r"would send the account's credential there; give it a\s+credential of"
    ):
        chain({"main": override}, account)


@pytest.mark.parametrize(
    "override",
    [
        pytest.param(
            {"base_url": "https://mine.example.com/v1", "credential": "mine"}, id="with a credential of its own"
        ),
        pytest.param(
            {"provider": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", "credential": None}, id="without any"
        ),
        pytest.param(
            {"base_url": "https://gateway.example.com/v1", "provider": "openai"}, id="repeating the account's"
        ),
        pytest.param({"model": "m", "organization": "org", "max_concurrency": 3, "tpm_capacity": 9}, id="elsewhere"),
    ],
)
def test_a_project_may_change_what_sends_no_foreign_credential_elsewhere(override: dict[str, Any]) -> None:
    assert only({"main": override}, {"main": OPENAI | {"base_url": "https://gateway.example.com/v1"}})


def test_a_project_may_move_an_inherited_server_without_keys() -> None:
    assert only({"main": {"base_url": "http://127.0.0.1:9/v1"}}, {"main": SERVER}).credential_path is None


def test_a_pasted_newline_is_not_part_of_a_credential() -> None:
    store = stored({"main": OPENAI})
    save_credential(store, project_path("acme"), "key", SecretStr("sk-1\r\n"))
    [link] = effective_chain(store, "acme")

    credential = read_credential(store, link)

    assert credential is not None
    assert (credential.secret.get_secret_value(), credential.version) == ("sk-1", 1)
    assert "sk-1" not in repr(credential)


@pytest.mark.parametrize("secret", ["", " ", "\n"], ids=ascii)
def test_an_empty_credential_is_not_saved(secret: str) -> None:
    store = MemoryStore()

    with pytest.raises(CredentialMissing, match="is empty; nothing was saved"):
        save_credential(store, project_path("acme"), "key", SecretStr(secret))
    assert list(store.list("/byom")) == []


def test_a_credential_is_stored_encrypted_and_a_connection_in_the_clear() -> None:
    store = with_keys(stored({"main": OPENAI}))

    assert {parameter.path.split("/")[4]: parameter.secure for parameter in store.list("/byom/projects/acme")} == {
        "connections": False,
        "credentials": False,
        "secrets": True,
        "profile": False,
    }


# What is metered together


def test_a_server_without_keys_has_no_credential() -> None:
    store = stored({"main": SERVER})
    [link] = effective_chain(store, "acme")

    assert link.credential_path is None
    assert read_credential(store, link) is None


def test_connections_that_share_credential_and_model_are_metered_together() -> None:
    one, two = chain({"a": OPENAI, "b": OPENAI | FALLBACK})

    assert one.key == two.key == "/byom/projects/acme/credentials/key#gpt-6-luna"


def test_projects_that_inherit_a_credential_are_metered_together_and_no_others() -> None:
    inherited = only({}, {"main": OPENAI}).key

    assert only({"main": {"labels": {"a": "b"}}}, {"main": OPENAI}).key == inherited
    assert only({"main": OPENAI}, {}).key != inherited
    assert only({"main": {"model": "other"}}, {"main": OPENAI}).key != inherited


def test_two_servers_without_keys_are_metered_apart() -> None:
    one, two = chain({"a": SERVER, "b": SERVER | FALLBACK | {"base_url": "http://127.0.0.1:9/v1"}})

    assert one.key == "/byom/projects/acme/connections/a#qwen3-8b"
    assert two.key == "/byom/projects/acme/connections/b#qwen3-8b"


def test_an_inherited_server_without_keys_is_metered_at_its_account() -> None:
    assert only({}, {"main": SERVER}).key == "/byom/accounts/corp/connections/main#qwen3-8b"
    assert only({"main": {"base_url": "http://127.0.0.1:9/v1"}}, {"main": SERVER}).key.startswith(
        "/byom/projects/acme/"
    )
