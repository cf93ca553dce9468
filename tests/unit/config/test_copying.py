"""Copying one store into another: all of it, only what is missing, secrets under the key of their account."""

import itertools
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.connections import AccountProfile, project_path, save_project, write_account
from config.copying import Copied, Outcome, copy
from config.store import FileStore, MemoryStore, ParameterStore

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = f"{project_path('acme')}/secrets/main/1"


def fill(source: ParameterStore) -> None:
    write_account(source, "customer", AccountProfile(kms_key=KEY))
    save_project(source, "acme", account="customer")
    save_project(source, "other")
    source.put(SECRET, SecretStr("sk-1"), secure=True)
    source.put(f"{project_path('other')}/secrets/main/1", SecretStr("sk-2"), secure=True)


def contents(store: ParameterStore) -> dict[str, tuple[SecretStr, bool]]:
    return {parameter.path: (parameter.value, parameter.secure) for parameter in store.list("/byom")}


@pytest.fixture
def source(tmp_path: Path) -> FileStore:
    source = FileStore(tmp_path / "source.json")
    fill(source)
    return source


def test_everything_is_copied_and_secrets_stay_secret(source: FileStore, store: ParameterStore) -> None:
    copied = list(copy(source, store))

    assert [one.outcome for one in copied] == [Outcome.COPIED] * 5
    assert contents(store) == contents(source)


def test_secrets_come_under_the_key_of_their_account(source: FileStore, store: ParameterStore) -> None:
    list(copy(source, store))

    assert {facts.path: facts.kms_key for facts in store.secrets("/byom")} == {
        SECRET: KEY,
        f"{project_path('other')}/secrets/main/1": None,
    }


def test_a_copy_may_be_stopped_and_repeated(source: FileStore, store: ParameterStore) -> None:
    list(itertools.islice(copy(source, store), 3))

    assert [one.outcome for one in copy(source, store)] == [Outcome.ALREADY] * 3 + [Outcome.COPIED] * 2
    assert {parameter.version for parameter in store.list("/byom")} == {1}
    assert contents(store) == contents(source)


def test_what_differs_in_the_target_stays_unless_it_is_to_be_replaced(source: FileStore) -> None:
    target = MemoryStore()
    target.put(SECRET, SecretStr("sk-newer"), secure=True)
    target.put("/byom/projects/third/profile", SecretStr("{}"), secure=False)

    [kept] = [one for one in copy(source, target) if one.path == SECRET]
    assert kept == Copied(path=SECRET, outcome=Outcome.DIFFERS)
    assert contents(target)[SECRET] == (SecretStr("sk-newer"), True)

    [replaced] = [one for one in copy(source, target, overwrite=True) if one.path == SECRET]
    assert replaced.outcome is Outcome.COPIED
    assert contents(target)[SECRET] == (SecretStr("sk-1"), True)
    assert target.get("/byom/projects/third/profile") is not None


def test_a_copy_that_stops_early_lacks_secrets_and_not_their_owners(source: FileStore) -> None:
    target = MemoryStore()
    list(itertools.islice(copy(source, target), 3))

    assert [secure for _, secure in contents(target).values()] == [False] * 3
