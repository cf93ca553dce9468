"""Stores of both kinds, and a credential of a project in them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import effective_chain, project_path, save_connection, save_project
from config.credentials import add_credential, history_of, note_verification
from config.store import FileStore, MemoryStore, ParameterStore
from tests.support import START

SCOPE = project_path("acme")
WHO: dict[str, Any] = {"by": "ada", "now": START}
CONNECTION = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ParameterStore:
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path / "store.json")


def add(store: ParameterStore, key: str = "sk-1", **changes: Any) -> int:
    return add_credential(store, SCOPE, "main", SecretStr(key), **{**WHO, **changes}).version


def verified(store: ParameterStore, key: str = "sk-1") -> int:
    version = add(store, key)
    note_verification(store, SCOPE, "main", version, now=START, problem=None)
    return version


def states(store: ParameterStore) -> dict[int, str]:
    history = history_of(store, SCOPE, "main")
    return {} if history is None else {number: facts.state.value for number, facts in history.versions.items()}


def secrets(store: ParameterStore) -> dict[str, str]:
    return {p.path.rsplit("/", 1)[1]: p.value.get_secret_value() for p in store.list(f"{SCOPE}/secrets")}


def connect(store: ParameterStore) -> Any:
    save_project(store, "acme")
    save_connection(store, SCOPE, CONNECTION)
    return effective_chain(store, "acme")[0]
