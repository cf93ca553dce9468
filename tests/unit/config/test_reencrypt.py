"""Encrypting an account's secrets anew: all of them, only them, and again after it was stopped."""

import itertools

import pytest
from pydantic import SecretStr

from config.connections import AccountProfile, save_project, write_account
from config.errors import StoreError
from config.reencrypt import Done, Outcome, plan, reencrypt
from config.store import MemoryStore, Parameter, ParameterStore
from config.store.ssm import SsmStore
from tests.aws import Calls

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = KEY.replace("1234abcd", "99999999")
SECRETS = [
    "/byom/accounts/acme/secrets/shared/1",
    "/byom/projects/one/secrets/main/1",
    "/byom/projects/one/secrets/main/2",
    "/byom/projects/two/secrets/main/1",
]
FOREIGN = ["/byom/accounts/acme2/secrets/shared/1", "/byom/projects/foreign/secrets/main/1"]


def fill(store: ParameterStore, *, kms_key: str | None = KEY) -> None:
    """An account with two projects and four secrets under the store's own key, beside somebody else's."""
    write_account(store, "acme", AccountProfile(kms_key=kms_key))
    for project, account in (("one", "acme"), ("two", "acme"), ("foreign", "acme2")):
        save_project(store, project, account=account)
    for path in (*SECRETS, *FOREIGN):
        store.put(path, SecretStr(f"sk-{path}"), secure=True)


def keys(store: ParameterStore) -> dict[str, str | None]:
    return {facts.path: facts.kms_key for facts in store.secrets("/byom")}


def outcomes(store: ParameterStore) -> list[tuple[str, Outcome]]:
    return [(done.path, done.outcome) for done in reencrypt(store, plan(store, "acme"))]


def test_the_secrets_of_an_account_and_its_projects_move_and_no_others(store: ParameterStore) -> None:
    fill(store)

    assert outcomes(store) == [(path, Outcome.REENCRYPTED) for path in SECRETS]
    assert keys(store) == {**dict.fromkeys(SECRETS, KEY), **dict.fromkeys(FOREIGN)}
    assert [store.get(path) for path in SECRETS] == [
        Parameter(path=path, value=SecretStr(f"sk-{path}"), version=2, secure=True) for path in SECRETS
    ]


def test_a_second_run_writes_nothing(store: ParameterStore) -> None:
    fill(store)
    outcomes(store)

    assert outcomes(store) == [(path, Outcome.ALREADY) for path in SECRETS]
    assert [parameter.version for path in SECRETS if (parameter := store.get(path))] == [2] * 4


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_where_it_was(store: ParameterStore, finished: int) -> None:
    fill(store)
    list(itertools.islice(reencrypt(store, plan(store, "acme")), finished))

    assert len(plan(store, "acme").left) == 4 - finished
    assert [outcome for _, outcome in outcomes(store)] == [Outcome.ALREADY] * finished + [Outcome.REENCRYPTED] * (
        4 - finished
    )
    assert keys(store) == {**dict.fromkeys(SECRETS, KEY), **dict.fromkeys(FOREIGN)}


def test_a_key_is_replaced_by_another_and_taken_away(store: ParameterStore) -> None:
    fill(store)
    for kms_key in (KEY, OTHER, None):
        write_account(store, "acme", AccountProfile(kms_key=kms_key))
        assert {outcome for _, outcome in outcomes(store)} == {Outcome.REENCRYPTED}
        assert keys(store) == {**dict.fromkeys(SECRETS, kms_key), **dict.fromkeys(FOREIGN)}


def test_what_others_change_or_delete_meanwhile_is_left_to_them(store: ParameterStore) -> None:
    fill(store)
    prepared = plan(store, "acme")
    store.delete(SECRETS[1])
    store.put(SECRETS[2], SecretStr("newer"), secure=True)

    assert [done.outcome for done in reencrypt(store, prepared)] == [
        Outcome.REENCRYPTED,
        Outcome.CHANGED,
        Outcome.CHANGED,
        Outcome.REENCRYPTED,
    ]
    assert store.get(SECRETS[1]) is None
    assert store.get(SECRETS[2]) == Parameter(path=SECRETS[2], value=SecretStr("newer"), version=2, secure=True)


class Hindered(MemoryStore):
    """Refuses to write some paths, or has somebody write them first."""

    def __init__(self, *, refuse: tuple[str, ...] = (), outrun: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.refuse = refuse
        self.outrun = outrun

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        if path in self.refuse and kms_key:
            raise StoreError(f"AWS denies kms:Encrypt for {path}")
        if path in self.outrun and kms_key:
            super().put(path, SecretStr("theirs"), secure=secure)
        return super().put(path, value, secure=secure, expected_version=expected_version, kms_key=kms_key)


def test_one_that_fails_does_not_stop_the_others() -> None:
    store = Hindered(refuse=(SECRETS[1],))
    fill(store)

    ended = list(reencrypt(store, plan(store, "acme")))

    assert ended[1] == Done(path=SECRETS[1], outcome=Outcome.FAILED, message=f"AWS denies kms:Encrypt for {SECRETS[1]}")
    assert [done.outcome for done in ended] == [
        Outcome.REENCRYPTED,
        Outcome.FAILED,
        Outcome.REENCRYPTED,
        Outcome.REENCRYPTED,
    ]


def test_a_store_that_refuses_everything_is_not_tried_for_ever() -> None:
    paths = tuple(f"/byom/accounts/acme/secrets/main/{number}" for number in range(1, 9))
    store = Hindered(refuse=paths)
    write_account(store, "acme", AccountProfile(kms_key=KEY))
    for path in paths:
        store.put(path, SecretStr("sk"), secure=True)

    run = reencrypt(store, plan(store, "acme"))
    tried = [next(run) for _ in range(5)]

    assert [done.path for done in tried] == list(paths[:5])
    with pytest.raises(StoreError, match=r"stopped after 5 failures in a row; run it again to go on\. AWS denies"):
        next(run)


def test_who_writes_between_reading_and_writing_keeps_the_value() -> None:
    store = Hindered(outrun=(SECRETS[0],))
    fill(store)

    assert outcomes(store)[0] == (SECRETS[0], Outcome.CHANGED)
    assert store.get(SECRETS[0]) == Parameter(path=SECRETS[0], value=SecretStr("theirs"), version=2, secure=True)


def test_a_plan_decrypts_nothing(ssm: SsmStore, calls: Calls) -> None:
    fill(ssm)
    calls.made.clear()
    read: list[str] = []
    calls.before = lambda _, request: read.append(str(request.get("Name", "")))
    plan(ssm, "acme")

    assert not any("/secrets/" in name for name in read)
    assert calls.actions == {"ssm:GetParameter", "ssm:GetParametersByPath", "ssm:DescribeParameters"}
