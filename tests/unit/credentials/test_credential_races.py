"""Others who change the same credential at the same time, and a store that fails half-way."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from config.credentials import activate_credential, delete_version, disable_credential, read_credential, save_credential
from config.errors import CredentialMissing, InvalidCredential, StoreConflict, StoreError
from config.store import MemoryStore, Parameter, ParameterStore
from tests.unit.credentials.conftest import SCOPE, WHO, add, connect, secrets, states, verified


class Meddled(MemoryStore):
    """Somebody else writes just before each of our first writes."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: list[Callable[[], object]] = []

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        if expected_version is not None and self.before_write:
            self.before_write.pop()()
        return super().put(path, value, secure=secure, expected_version=expected_version, kms_key=kms_key)


def test_two_who_add_at_the_same_time_get_two_numbers_and_keep_both_secrets() -> None:
    store = Meddled()
    others: list[int] = []
    store.before_write.append(lambda: others.append(add(store, "theirs")))

    ours = add(store, "ours")

    assert (others, ours) == ([1], 2)
    assert secrets(store) == {"1": "theirs", "2": "ours"}


def test_an_activation_sees_that_somebody_else_activated_another_version() -> None:
    store = Meddled()
    one, two = verified(store, "sk-1"), verified(store, "sk-2")
    store.before_write.append(lambda: activate_credential(store, SCOPE, "main", two, **WHO))

    changed = activate_credential(store, SCOPE, "main", one, **WHO)

    assert changed.replaced == two
    assert states(store) == {1: "active", 2: "disabled"}


def test_a_version_that_somebody_activates_meanwhile_is_not_deleted() -> None:
    store = Meddled()
    version = verified(store)
    store.before_write.append(lambda: activate_credential(store, SCOPE, "main", version, **WHO))

    with pytest.raises(InvalidCredential, match="it is active"):
        delete_version(store, SCOPE, "main", version, **WHO)
    assert secrets(store) == {"1": "sk-1"}


def test_who_is_always_too_late_gives_up_and_says_so() -> None:
    store = Meddled()
    add(store)

    def again() -> None:
        store.before_write.clear()
        parameter = store.get(f"{SCOPE}/credentials/main")
        assert parameter is not None
        store.put(parameter.path, parameter.value, secure=False)
        store.before_write.append(again)

    store.before_write.append(again)
    with pytest.raises(StoreConflict, match="changed by others all the time; nothing was changed"):
        add(store)
    assert secrets(store) == {"1": "sk-1"}


class Rotating(MemoryStore):
    """Rotates the credential between the reads of its state and of its secret."""

    rotate: Callable[[], object] | None = None

    def get(self, path: str) -> Parameter | None:
        if "/secrets/" in path and self.rotate is not None:
            rotate, self.rotate = self.rotate, None
            rotate()
        return super().get(path)


def test_a_version_that_is_replaced_and_deleted_while_it_is_read_is_read_anew() -> None:
    store = Rotating()
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))

    def rotate() -> None:
        save_credential(store, SCOPE, "main", SecretStr("sk-2"))
        delete_version(store, SCOPE, "main", 1, **WHO)

    store.rotate = rotate

    credential = read_credential(store, link)

    assert credential is not None
    assert (credential.version, credential.secret.get_secret_value()) == (2, "sk-2")


def test_a_secret_that_is_gone_is_said_and_not_activated(store: ParameterStore) -> None:
    link = connect(store)
    save_credential(store, SCOPE, "main", SecretStr("sk-1"))
    store.delete(f"{SCOPE}/secrets/main/1")

    with pytest.raises(CredentialMissing, match=r"the secret of version 1 of credential 'main' .* is not in the store"):
        read_credential(store, link)
    disable_credential(store, SCOPE, "main", 1, **WHO)
    with pytest.raises(CredentialMissing, match="add a new one"):
        activate_credential(store, SCOPE, "main", 1, force=True, **WHO)


class Failing(MemoryStore):
    """Fails to write, or to delete, what lies below `secrets`."""

    failing = False

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        if self.failing and "/secrets/" in path:
            raise StoreError("throttled")
        return super().put(path, value, secure=secure, expected_version=expected_version, kms_key=kms_key)

    def delete(self, path: str) -> bool:
        if self.failing and "/secrets/" in path:
            raise StoreError("throttled")
        return super().delete(path)


def test_a_secret_that_could_not_be_written_leaves_no_version_that_promises_one() -> None:
    store = Failing()
    store.failing = True

    with pytest.raises(StoreError, match="throttled"):
        add(store)

    assert states(store) == {1: "deleted"}


def test_a_secret_that_could_not_be_removed_is_removed_by_deleting_once_more() -> None:
    store = Failing()
    add(store)
    store.failing = True
    with pytest.raises(StoreError, match="is marked deleted, but its secret may still be in the store; delete it once"):
        delete_version(store, SCOPE, "main", 1, **WHO)
    assert secrets(store) == {"1": "sk-1"}
    store.failing = False

    delete_version(store, SCOPE, "main", 1, **WHO)

    assert secrets(store) == {}
