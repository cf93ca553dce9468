"""What becomes of credentials in a store."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.connections import account_path, save_connection
from config.credentials import (
    CredentialState,
    activate_credential,
    add_credential,
    delete_credential,
    delete_version,
    disable_credential,
    fingerprint,
    history_of,
    list_credentials,
    note_verification,
    read_credential,
    read_version,
    save_credential,
)
from config.errors import ConfigError, CredentialDisabled, CredentialMissing, InvalidCredential
from config.store import MemoryStore, ParameterStore
from tests.support import START
from tests.unit.credentials.conftest import CONNECTION, SCOPE, WHO, add, connect, secrets, states, verified


def test_a_new_version_is_pending_and_no_call_is_made_with_it(store: ParameterStore) -> None:
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))

    changed = add_credential(store, SCOPE, "main", SecretStr(" sk-2\n"), reason="rotation", **WHO)

    credential = read_credential(store, link)
    assert (changed.version, changed.before, changed.after) == (2, None, CredentialState.PENDING)
    assert credential is not None
    assert (credential.version, credential.secret.get_secret_value()) == (1, "sk-1")
    assert secrets(store) == {"1": "sk-1", "2": "sk-2"}
    history = history_of(store, SCOPE, "main")
    assert history is not None
    facts = history.versions[2]
    assert (facts.created_by, facts.created_at, facts.reason) == ("ada", START, "rotation")
    assert facts.fingerprint == fingerprint(SecretStr("sk-2"))


def test_what_is_activated_is_used_and_what_was_active_is_disabled(store: ParameterStore) -> None:
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    version = verified(store, "sk-2")

    changed = activate_credential(store, SCOPE, "main", version, **WHO)

    credential = read_credential(store, link)
    assert credential is not None
    assert (credential.version, credential.secret.get_secret_value()) == (2, "sk-2")
    assert (changed.replaced, changed.before, changed.after) == (1, CredentialState.PENDING, CredentialState.ACTIVE)
    assert states(store) == {1: "disabled", 2: "active"}


def test_a_rotation_can_be_taken_back(store: ParameterStore) -> None:
    link = connect(store)
    activate_credential(store, SCOPE, "main", verified(store, "sk-1"), **WHO)
    activate_credential(store, SCOPE, "main", verified(store, "sk-2"), **WHO)

    activate_credential(store, SCOPE, "main", 1, **WHO)

    credential = read_credential(store, link)
    assert credential is not None
    assert credential.secret.get_secret_value() == "sk-1"
    assert states(store) == {1: "active", 2: "disabled"}


def test_what_no_provider_accepted_is_not_activated_unless_forced(store: ParameterStore) -> None:
    version = add(store)
    note_verification(store, SCOPE, "main", version, now=START, problem="OpenAI does not accept the key")

    with pytest.raises(
        InvalidCredential,
        match=r"cannot activate version 1 of credential 'main' of project 'acme': it is not verified \(OpenAI does not "
        r"accept the key\); verify it with: byom credential verify --project acme --name main --version 1",
    ):
        activate_credential(store, SCOPE, "main", version, **WHO)
    assert states(store) == {1: "pending"}
    activate_credential(store, SCOPE, "main", version, force=True, **WHO)
    assert states(store) == {1: "active"}


def test_the_last_verification_counts(store: ParameterStore) -> None:
    version = verified(store)
    note_verification(store, SCOPE, "main", version, now=START, problem="expired")

    with pytest.raises(InvalidCredential, match="not verified"):
        activate_credential(store, SCOPE, "main", version, **WHO)


def test_deleting_removes_the_secret_and_keeps_what_is_known(store: ParameterStore) -> None:
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    save_credential(store, SCOPE, "main", SecretStr("sk-2"))

    delete_version(store, SCOPE, "main", 1, reason="old", **WHO)

    assert secrets(store) == {"2": "sk-2"}
    assert states(store) == {1: "deleted", 2: "active"}
    with pytest.raises(InvalidCredential, match="its secret is gone; add a new version"):
        activate_credential(store, SCOPE, "main", 1, force=True, **WHO)


def test_the_active_version_is_not_deleted_unless_forced(store: ParameterStore) -> None:
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))

    with pytest.raises(InvalidCredential, match=r"cannot delete version 1 .*it is active"):
        delete_version(store, SCOPE, "main", 1, **WHO)
    assert secrets(store) == {"1": "sk-1"}
    delete_version(store, SCOPE, "main", 1, force=True, **WHO)

    assert secrets(store) == {}
    with pytest.raises(CredentialDisabled, match=r"has no active version \(it has: none\)"):
        read_credential(store, link)


def test_a_credential_that_a_connection_names_is_not_deleted(store: ParameterStore) -> None:
    connect(store)
    save_connection(store, SCOPE, {**CONNECTION, "name": "backup", "role": "fallback"})
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))

    with pytest.raises(InvalidCredential, match="named by the connections backup, primary; remove them"):
        delete_credential(store, SCOPE, "main", **WHO)
    assert secrets(store) == {"1": "sk-1"}


def test_a_connection_of_another_level_keeps_no_credential(store: ParameterStore) -> None:
    connect(store)
    corp = account_path("corp")
    save_credential(store, corp, "main", SecretStr("sk-1"))

    deleted = delete_credential(store, corp, "main", **WHO)

    assert [changed.version for changed in deleted] == [1]
    assert list(store.list(f"{corp}/secrets")) == []


def test_a_credential_with_many_versions_is_deleted_as_a_whole(store: ParameterStore) -> None:
    for _ in range(5):
        add(store)
    for version in (2, 4):
        delete_version(store, SCOPE, "main", version, **WHO)
    store.put(f"{SCOPE}/secrets/main/4", SecretStr("left over"), secure=True)

    deleted = delete_credential(store, SCOPE, "main", **WHO)

    assert [changed.version for changed in deleted] == [1, 3, 5]
    assert secrets(store) == {}


def test_numbers_go_on_after_a_credential_was_deleted(store: ParameterStore) -> None:
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    delete_credential(store, SCOPE, "main", **WHO)

    assert save_credential(store, SCOPE, "main", SecretStr("sk-2")).version == 2


def test_numbers_go_on_even_if_somebody_removed_the_row_by_hand(store: ParameterStore) -> None:
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    store.delete(f"{SCOPE}/credentials/main")

    assert add(store, "sk-2") == 2
    assert secrets(store) == {"1": "sk-1", "2": "sk-2"}


def test_a_disabled_credential_is_told_apart_from_a_missing_one_with_the_mend(store: ParameterStore) -> None:
    link = connect(store)
    with pytest.raises(
        CredentialMissing, match="which is not in the store; add it with: byom credential add"
    ) as missing:
        read_credential(store, link)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    add(store)
    disable_credential(store, SCOPE, "main", 1, **WHO)

    with pytest.raises(
        CredentialDisabled,
        match=r"connection 'primary' of project 'acme' names the credential 'main', which has no active version "
        r"\(it has: 1 \(disabled\), 2 \(pending\)\); "
        r"activate one with: byom credential activate --project acme --name main",
    ):
        read_credential(store, link)
    assert type(missing.value) is CredentialMissing


def test_any_version_that_is_left_can_be_read_to_try_it(store: ParameterStore) -> None:
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    add(store, "sk-2")
    save_credential(store, SCOPE, "main", SecretStr("sk-3"))
    delete_version(store, SCOPE, "main", 1, **WHO)

    assert read_version(store, link, 2).secret.get_secret_value() == "sk-2"
    for gone in (1, 9):
        with pytest.raises(CredentialMissing, match=f"has no version {gone}; it has: 2 \\(pending\\), 3 \\(active\\)"):
            read_version(store, link, gone)


@pytest.mark.parametrize("text", ["sk-CANARY", '{"next": "CANARY"}', "[]", '{"versions": {"1": {"state": "CANARY"}}}'])
def test_a_damaged_credential_is_reported_without_quoting_it(store: ParameterStore, text: str) -> None:
    link = connect(store)
    store.put(f"{SCOPE}/credentials/main", SecretStr(text), secure=False)

    for attempt in (lambda: read_credential(store, link), lambda: add(store), lambda: list_credentials(store, SCOPE)):
        with pytest.raises(InvalidCredential, match="credential 'main' of project 'acme' is stored damaged") as caught:
            attempt()
        assert "CANARY" not in str(caught.value)
        assert caught.value.__context__ is None


OPERATIONS: list[Callable[..., Any]] = [activate_credential, disable_credential, delete_version]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.__name__)
def test_what_is_not_there_is_said(store: ParameterStore, operation: Callable[..., Any]) -> None:
    with pytest.raises(CredentialMissing, match="project 'acme' has no credential 'main'"):
        operation(store, SCOPE, "main", 1, **WHO)
    add(store)
    with pytest.raises(CredentialMissing, match=r"has no version 2; it has: 1 \(pending\)"):
        operation(store, SCOPE, "main", 2, **WHO)


#: What to do, and with which version.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["add", "save", "verify", "activate", "force", "disable", "delete", "delete forced", "delete all"]
        ),
        st.integers(1, 6),
    ),
    max_size=40,
)


def step(store: ParameterStore, operation: str, version: int) -> None:
    if operation == "add":
        add(store, f"sk-{operation}-{version}")
    elif operation == "save":
        save_credential(store, SCOPE, "main", SecretStr(f"sk-{version}"))
    elif operation == "verify":
        note_verification(store, SCOPE, "main", version, now=START, problem=None if version % 2 else "no")
    elif operation in {"activate", "force"}:
        activate_credential(store, SCOPE, "main", version, force=operation == "force", **WHO)
    elif operation == "disable":
        disable_credential(store, SCOPE, "main", version, **WHO)
    elif operation == "delete all":
        delete_credential(store, SCOPE, "main", **WHO)
    else:
        delete_version(store, SCOPE, "main", version, force=operation == "delete forced", **WHO)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_is_done_in_whatever_order_the_promises_hold(steps: list[tuple[str, int]]) -> None:
    store = MemoryStore()
    given_numbers: set[int] = set()
    deleted: set[int] = set()
    for operation, version in steps:
        before = history_of(store, SCOPE, "main")
        try:
            step(store, operation, version)
        except ConfigError:
            assert history_of(store, SCOPE, "main") == before
        history = history_of(store, SCOPE, "main")
        if history is None:
            continue
        current = states(store)
        new = current.keys() - (before.versions.keys() if before else set())
        assert not new & given_numbers, "a number was given twice"
        given_numbers |= new
        assert sum(state == "active" for state in current.values()) <= 1
        assert not any(current.get(number, "deleted") != "deleted" for number in deleted), "a deleted version came back"
        deleted |= {number for number in given_numbers if current.get(number, "deleted") == "deleted"}
        assert secrets(store).keys() == {str(number) for number in history.left}
