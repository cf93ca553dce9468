import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import (
    account_path,
    effective_chain,
    project_path,
    save_connection,
    save_project,
)
from config.errors import ConfigError, InvalidConnection
from config.store import MemoryStore

PROJECT = project_path("acme")
ACCOUNT = account_path("corp")
MAIN: dict[str, Any] = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    save_project(store, "acme", account="corp")
    return store


def document(store: MemoryStore, scope: str = PROJECT, name: str = "main") -> Any:
    parameter = store.get(f"{scope}/connections/{name}")
    return None if parameter is None else json.loads(parameter.value.get_secret_value())


def test_only_what_was_set_is_written_so_that_the_rest_is_inherited(store: MemoryStore) -> None:
    save_connection(store, PROJECT, MAIN | {"labels": {"team": "search"}})

    assert document(store) == {
        "provider": "openai",
        "model": "gpt-6-luna",
        "credential": "key",
        "labels": {"team": "search"},
    }


def test_a_project_may_save_only_what_differs_from_its_account(store: MemoryStore) -> None:
    save_connection(store, ACCOUNT, MAIN)

    connection = save_connection(store, PROJECT, {"name": "main", "model": "gpt-5.4-nano"})

    assert (connection.provider, connection.credential) == ("openai", "key")
    assert document(store) == {"model": "gpt-5.4-nano"}
    [link] = effective_chain(store, "acme")
    assert link.connection == connection


def test_an_account_inherits_nothing(store: MemoryStore) -> None:
    save_connection(store, PROJECT, MAIN)

    with pytest.raises(InvalidConnection, match="provider: Field required"):
        save_connection(store, ACCOUNT, {"name": "main", "model": "gpt-5.4-nano"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "a/b"}, "name: "),
        ({"name": ".."}, "name: "),
        ({"name": None}, "name: "),
        ({"provider": "openia"}, "provider: Input should be 'openai'"),
        ({"model": ""}, "model: "),
        ({"model": "gpt 6"}, "model: "),
        ({"model": "gpt-6\n"}, "model: "),
        ({"model": None}, "model: "),
        ({"credential": None}, "a credential is required for openai"),
        ({"credential": "../corp/key"}, "credential: "),
        ({"role": "spare"}, "role: "),
        ({"order": -1}, "order: "),
        ({"labels": {"a b": "c"}}, "labels"),
        ({"base_url": "api.openai.com"}, "base_url: must be a URL such as https"),
        ({"base_url": "ftp://example.com"}, "base_url: must be a URL"),
        ({"base_url": "https://user:CANARY@example.com"}, "base_url: must be a URL"),
        ({"base_url": "https://example.com/v1?api-version=CANARY"}, "base_url must end before '\\?' and '#'"),
        ({"base_url": "https://example.com/#CANARY"}, "base_url must end before"),
        ({"max_concurrency": 0}, "max_concurrency: "),
        ({"tpm_capacity": 0}, "tpm_capacity: "),
        ({"tpm_refill_per_second": 0}, "tpm_refill_per_second: "),
        ({"tpm_refill_per_second": float("inf")}, "tpm_refill_per_second: "),
        ({"tpm_refill_per_second": float("nan")}, "tpm_refill_per_second: "),
        ({"api_key": "CANARY"}, "api_key: Extra inputs are not permitted"),
        ({"provider": "openai_compatible"}, "base_url is required for openai_compatible"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_field_and_not_written(
    store: MemoryStore, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidConnection, match=f"does not fit: .*{problem}") as caught:
        save_connection(store, PROJECT, MAIN | change)

    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None
    assert [parameter.path for parameter in store.list(PROJECT)] == [f"{PROJECT}/profile"]


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "openai_compatible", "base_url": "http://127.0.0.1:8000/v1", "credential": None},
        {"provider": "openai_compatible", "base_url": "http://[::1]:8000/v1"},
        {"base_url": "https://eu.api.openai.com/v1"},
        {"model": "meta-llama/Llama-3.1:8b"},
        {"model": "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude", "provider": "bedrock"},
        {"tpm_refill_per_second": 0.5},
    ],
    ids=str,
)
def test_what_fits_is_written(store: MemoryStore, fields: dict[str, Any]) -> None:
    save_connection(store, PROJECT, MAIN | fields)

    assert document(store) is not None


def test_the_accounts_credential_cannot_be_redirected(store: MemoryStore) -> None:
    save_connection(store, ACCOUNT, MAIN)

    with pytest.raises(InvalidConnection, match="changes base_url and would send the account's credential there"):
        save_connection(store, PROJECT, {"name": "main", "base_url": "https://collector.example.com"})
    assert document(store) is None


def test_a_second_primary_is_refused_before_it_breaks_the_project(store: MemoryStore) -> None:
    for scope in (PROJECT, ACCOUNT):
        save_connection(store, scope, MAIN)

        with pytest.raises(InvalidConnection, match=r"2 primary connections \(main, other\); make all but one"):
            save_connection(store, scope, MAIN | {"name": "other"})
        assert document(store, scope, "other") is None


def test_saving_the_primary_again_replaces_it(store: MemoryStore) -> None:
    save_connection(store, PROJECT, MAIN)
    save_connection(store, PROJECT, MAIN | {"model": "gpt-5.4-nano"})

    [link] = effective_chain(store, "acme")
    assert link.connection.model == "gpt-5.4-nano"


def test_the_override_of_an_inherited_fallback_does_not_count_as_a_primary(store: MemoryStore) -> None:
    save_connection(store, ACCOUNT, MAIN | {"name": "backup", "role": "fallback"})
    save_connection(store, PROJECT, {"name": "backup", "model": "gpt-5.4-nano"})

    save_connection(store, PROJECT, MAIN)

    assert [link.connection.name for link in effective_chain(store, "acme")] == ["main", "backup"]


def test_two_primaries_that_are_stored_already_can_be_mended_by_saving(store: MemoryStore) -> None:
    for name in ("a", "b"):
        raw = json.dumps({field: value for field, value in MAIN.items() if field != "name"})
        store.put(f"{PROJECT}/connections/{name}", SecretStr(raw), secure=False)

    save_connection(store, PROJECT, MAIN | {"name": "b", "role": "fallback"})

    assert [link.connection.name for link in effective_chain(store, "acme")] == ["a", "b"]


def test_a_connection_can_be_saved_before_its_project() -> None:
    store = MemoryStore()
    save_connection(store, PROJECT, MAIN)
    save_project(store, "acme")

    assert [link.connection.name for link in effective_chain(store, "acme")] == ["main"]


def test_a_project_can_be_moved_to_another_account(store: MemoryStore) -> None:
    save_connection(store, account_path("other"), MAIN | {"model": "theirs"})
    save_project(store, "acme", account="other")

    [link] = effective_chain(store, "acme")
    assert (link.account, link.connection.model) == ("other", "theirs")


def errors(root: type[ConfigError]) -> Iterator[type[ConfigError]]:
    yield root
    for child in root.__subclasses__():
        yield from errors(child)


@pytest.mark.parametrize("cls", list(errors(ConfigError)), ids=lambda cls: cls.__name__)
def test_every_configuration_error_survives_pickling(cls: type[ConfigError]) -> None:
    twin = pickle.loads(pickle.dumps(cls("it broke")))  # noqa: S301 - read where it was written

    assert (type(twin), str(twin)) == (cls, "it broke")
