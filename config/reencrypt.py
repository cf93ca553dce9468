"""Encrypting an account's secrets anew, after its KMS key was set or taken away.

Each secret is read and written once more, under the key that its account has now. What is under that key already is
left alone, so the work may be stopped at any moment and started again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from config.connections import account_path, list_projects, project_path, read_account, read_project
from config.errors import StoreConflict, StoreError
from config.store import ParameterStore, SecretFacts

#: Failures one after the other, after which the store itself is taken for the cause.
_GIVE_UP = 5


class Outcome(StrEnum):
    """What came of one secret."""

    #: Read under its old key and written under the new one.
    REENCRYPTED = "reencrypted"
    #: It was under the key already; nothing was written.
    ALREADY = "already"
    #: Somebody changed or deleted it at the same moment; another run sees what is there then.
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One secret, and what came of it."""

    path: str
    outcome: Outcome
    #: Why it failed.
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The secrets of an account and its projects, and the key that they are to be under."""

    #: None for the store's own key.
    kms_key: str | None
    secrets: tuple[SecretFacts, ...]

    @property
    def left(self) -> list[SecretFacts]:
        """Those that are under another key."""
        return [facts for facts in self.secrets if facts.kms_key != self.kms_key]


def plan(store: ParameterStore, account: str) -> Plan:
    """Find the secrets of an account and of its projects; decrypts none.

    Raises:
        InvalidConnection: a profile is stored damaged.
        StoreError: the store cannot be read.
    """
    scopes = [account_path(account), *map(project_path, projects_of(store, account))]
    secrets = [facts for scope in scopes for facts in store.secrets(scope)]
    return Plan(kms_key=read_account(store, account).kms_key, secrets=tuple(secrets))


def reencrypt(store: ParameterStore, plan: Plan) -> Iterator[Done]:
    """Carry out a plan, one secret after the other; one that fails does not stop the others.

    Raises:
        StoreError: five in a row failed. What was done stays done.
    """
    failures = 0
    for facts in plan.secrets:
        done = _done(store, facts, plan.kms_key)
        failures = failures + 1 if done.outcome is Outcome.FAILED else 0
        yield done
        if failures == _GIVE_UP:
            raise StoreError(f"stopped after {failures} failures in a row; run it again to go on. {done.message}")


def projects_of(store: ParameterStore, account: str) -> list[str]:
    """Names of the projects that belong to an account.

    Raises:
        InvalidConnection: a profile is stored damaged.
        StoreError: the store cannot be read.
    """
    profiles = {name: read_project(store, name) for name in list_projects(store)}
    return [name for name, profile in profiles.items() if profile and profile.account == account]


def _done(store: ParameterStore, facts: SecretFacts, kms_key: str | None) -> Done:
    if facts.kms_key == kms_key:
        return Done(path=facts.path, outcome=Outcome.ALREADY)
    try:
        return Done(path=facts.path, outcome=_rewrite(store, facts, kms_key))
    except StoreConflict:
        return Done(path=facts.path, outcome=Outcome.CHANGED)
    except StoreError as error:
        return Done(path=facts.path, outcome=Outcome.FAILED, message=str(error))


def _rewrite(store: ParameterStore, facts: SecretFacts, kms_key: str | None) -> Outcome:
    parameter = store.get(facts.path)
    if parameter is None or parameter.version != facts.version:
        return Outcome.CHANGED
    store.put(facts.path, parameter.value, secure=True, expected_version=facts.version, kms_key=kms_key)
    return Outcome.REENCRYPTED
