"""A draft copies what it judges and no secret, and its changes are written in an order in which nobody meets half."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import account_path, project_path, save_connection, save_project
from config.connections.draft import Draft, broken, heirs_of, inherited_document, level_document
from config.connections.paths import Level
from config.credentials import save_credential
from config.errors import StoreError
from config.store import MemoryStore

MAIN: dict[str, Any] = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
ACME, CORP = Level.project("acme"), Level.account("corp")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for number in range(9):
        save_project(store, f"p{number}", account="corp" if number % 2 else "other")
    save_project(store, "acme", account="corp")
    for scope in (account_path("corp"), project_path("p1")):
        save_connection(store, scope, MAIN)
        save_credential(store, scope, "key", SecretStr("sk-canary-7d0c1a55e2"))
    return store


def paths(store: MemoryStore) -> list[str]:
    return [parameter.path for parameter in store.list("/byom")]


def test_a_project_is_copied_with_its_account_and_without_secrets(store: MemoryStore) -> None:
    assert paths(Draft(store, [ACME]).store) == ["/byom/accounts/corp/connections/main", "/byom/projects/acme/profile"]


def test_many_levels_are_copied_as_few_are(store: MemoryStore) -> None:
    levels = [CORP, *(Level.project(f"p{number}") for number in range(9))]
    one_by_one = Draft(store, [])
    for level in levels:
        one_by_one.include(level)

    assert paths(Draft(store, levels).store) == paths(one_by_one.store)
    assert not [path for path in paths(one_by_one.store) if "credentials" in path]


def test_the_heirs_of_an_account_are_found_and_copied(store: MemoryStore) -> None:
    draft = Draft(store, [CORP])

    assert [level.name for level in draft.include_heirs("corp")] == ["acme", "p1", "p3", "p5", "p7"]
    assert heirs_of(store, "nobody") == []


def test_a_copy_that_is_included_again_keeps_its_changes(store: MemoryStore) -> None:
    draft = Draft(store, [ACME])
    save_connection(draft.store, CORP.path, MAIN | {"model": "gpt-5.4-nano"})
    draft.include(CORP, ACME)

    assert [change.path for change in draft.changes()] == ["/byom/accounts/corp/connections/main"]


def test_nothing_changes_where_nothing_was_changed(store: MemoryStore) -> None:
    draft = Draft(store, [ACME, CORP])
    save_project(draft.store, "acme", account="corp")

    assert draft.changes() == []


def test_connections_are_written_before_the_profile_and_removals_come_last_profiles_first(store: MemoryStore) -> None:
    gone = Level.project("p1")
    draft = Draft(store, [gone])
    for path in paths(draft.store):
        if path.startswith(gone.path):
            draft.store.delete(path)
    save_project(draft.store, "new")
    save_connection(draft.store, project_path("new"), MAIN)

    assert [(change.path, change.after is None) for change in draft.changes()] == [
        ("/byom/projects/new/connections/main", False),
        ("/byom/projects/new/profile", False),
        ("/byom/projects/p1/profile", True),
        ("/byom/projects/p1/connections/main", True),
    ]


def test_a_level_that_cannot_be_resolved_says_why(store: MemoryStore) -> None:
    store.put("/byom/projects/acme/connections/main", SecretStr(json.dumps({"model": 7})), secure=False)

    assert "model: " in (broken(store, ACME) or "")
    assert [broken(store, level) for level in (CORP, Level.project("p1"), Level.project("nobody"))] == [None] * 3


def test_what_is_set_and_what_is_inherited_are_told_apart(store: MemoryStore) -> None:
    own = {field: value for field, value in MAIN.items() if field != "name"}

    assert (level_document(store, ACME, "main"), inherited_document(store, ACME, "main")) == (None, own)
    assert (level_document(store, CORP, "main"), inherited_document(store, CORP, "main")) == (own, None)


def test_a_name_that_leaves_its_place_is_refused(store: MemoryStore) -> None:
    with pytest.raises(StoreError):
        Draft(store, [Level.project("../corp")])
