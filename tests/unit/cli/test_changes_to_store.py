"""Changes of several parameters: all or none, whatever fails and wherever a process is killed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from pydantic import SecretStr

from config.connections.draft import Change
from config.connections.paths import Level
from config.errors import StoreError
from config.store import MemoryStore, Parameter, ParameterStore
from config.store.base import SecretFacts
from tests.support import ManualClock
from workers.cli.changes_to_store import remove_level, write_changes
from workers.cli.errors import CommandError
from workers.configuration.admin import Admin
from workers.configuration.audit import AuditLog
from workers.configuration.changes import CHANGES_KEY, Announcer

AdminOf = Callable[[ParameterStore], Admin]


class Killed(BaseException):
    """What no handler may catch and go on, such as Ctrl-C."""


class Fragile:
    """A store that fails at one call of `put` or `delete`, before or after the call has taken effect."""

    def __init__(self, inner: MemoryStore, *, at: int, error: type[BaseException], late: bool, lasting: bool) -> None:
        self._inner = inner
        self._at = at
        self._error = error
        self._late = late
        self._lasting = lasting
        self.writes = 0

    def get(self, path: str) -> Parameter | None:
        return self._inner.get(path)

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        return self._inner.list(prefix, secure=secure)

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:
        return self._inner.secrets(prefix)

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        def put() -> Parameter:
            return self._inner.put(path, value, secure=secure, expected_version=expected_version, kms_key=kms_key)

        written: Parameter = self._write(put)
        return written

    def delete(self, path: str) -> bool:
        return bool(self._write(lambda: self._inner.delete(path)))

    def _write(self, write: Any) -> Any:
        fails = self.writes == self._at or (self._lasting and self.writes > self._at)
        self.writes += 1
        if fails and not self._late:
            raise self._error("the store is away")
        written = write()
        if fails:
            raise self._error("the answer was lost")
        return written


@pytest.fixture
def client() -> redis.Redis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl", by="ada@desk")


@pytest.fixture
def admin_of(audit: AuditLog, client: redis.Redis) -> AdminOf:
    """Makes an admin of a store, with one log and one Redis."""
    return lambda store: Admin(store, audit=audit, announcer=Announcer(client), clock=ManualClock())


def stored() -> MemoryStore:
    store = MemoryStore()
    for name in ("changed", "removed", "kept"):
        store.put(f"/byom/{name}", SecretStr(f"old {name}"), secure=False)
    return store


CHANGES = (
    Change(path="/byom/added", before=None, after=SecretStr("new added")),
    Change(path="/byom/changed", before=SecretStr("old changed"), after=SecretStr("new changed")),
    Change(path="/byom/removed", before=SecretStr("old removed"), after=None),
)
BEFORE = {"/byom/changed": "old changed", "/byom/removed": "old removed", "/byom/kept": "old kept"}
AFTER = {"/byom/added": "new added", "/byom/changed": "new changed", "/byom/kept": "old kept"}


def held(store: MemoryStore) -> dict[str, str]:
    return {parameter.path: parameter.value.get_secret_value() for parameter in store.list("/byom")}


def test_all_changes_are_written(admin_of: AdminOf) -> None:
    store = stored()
    write_changes(admin_of(store), CHANGES)

    assert held(store) == AFTER


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("late", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("error", [StoreError, KeyboardInterrupt, Killed])
def test_a_failure_at_any_write_takes_all_back(
    admin_of: AdminOf, *, at: int, late: bool, error: type[BaseException]
) -> None:
    store = stored()

    with pytest.raises(error):
        write_changes(admin_of(Fragile(store, at=at, error=error, late=late, lasting=False)), CHANGES)

    assert held(store) == BEFORE


@pytest.mark.parametrize("at", range(1, 3))
def test_what_cannot_be_taken_back_is_named_and_the_same_command_again_mends_it(admin_of: AdminOf, at: int) -> None:
    store = stored()

    with pytest.raises(CommandError) as caught:
        write_changes(admin_of(Fragile(store, at=at, error=StoreError, late=False, lasting=True)), CHANGES)
    half = held(store)
    again = [
        Change(
            path=change.path, before=SecretStr(half[change.path]) if change.path in half else None, after=change.after
        )
        for change in CHANGES
    ]
    write_changes(admin_of(store), [change for change in again if change.before != change.after])

    assert caught.value.details["left"] == [change.path for change in reversed(CHANGES[:at])]
    assert "run the same command again" in str(caught.value)
    assert half not in (BEFORE, AFTER)
    assert held(store) == AFTER


@pytest.mark.parametrize("number", range(3))
def test_somebody_elses_change_ends_the_run_and_stays(admin_of: AdminOf, number: int) -> None:
    store = stored()
    path = CHANGES[number].path
    store.put(path, SecretStr("theirs"), secure=False)

    with pytest.raises(CommandError, match=f"{path} was changed by somebody else meanwhile; nothing was changed"):
        write_changes(admin_of(store), CHANGES)

    assert held(store) == BEFORE | {path: "theirs"}


def test_what_somebody_else_wrote_over_ours_is_not_taken_back(admin_of: AdminOf) -> None:
    store = stored()

    class Racing(Fragile):
        def get(self, path: str) -> Parameter | None:
            if self.writes == 1 and path == CHANGES[1].path:
                store.put(CHANGES[0].path, SecretStr("theirs"), secure=False)
                store.put(path, SecretStr("theirs"), secure=False)
            return super().get(path)

    with pytest.raises(CommandError):
        write_changes(admin_of(Racing(store, at=-1, error=StoreError, late=False, lasting=False)), CHANGES)

    assert held(store) == BEFORE | {CHANGES[0].path: "theirs", CHANGES[1].path: "theirs"}


SCOPES = (
    Change(path="/byom/projects/acme/connections/primary", before=None, after=SecretStr('{"model": "m"}')),
    Change(path="/byom/projects/acme/profile", before=None, after=SecretStr("{}")),
    Change(path="/byom/accounts/corp/connections/old", before=SecretStr("damaged"), after=None),
)


def test_each_change_is_recorded_and_each_level_announced_once(
    admin_of: AdminOf, audit: AuditLog, client: redis.Redis
) -> None:
    store = MemoryStore()
    store.put("/byom/accounts/corp/connections/old", SecretStr("damaged"), secure=False)

    write_changes(admin_of(store), SCOPES)

    _, *made = audit.records()
    assert [(record.action, record.scope, record.subject, record.changes, record.outcome) for record in made] == [
        (
            "connection.save",
            "/byom/projects/acme",
            "connections/primary",
            {"model": {"from": None, "to": "m"}},
            "done",
        ),
        ("project.save", "/byom/projects/acme", "profile", {}, "done"),
        ("connection.remove", "/byom/accounts/corp", "connections/old", {}, "done"),
    ]
    notices: Any = client.xrange(CHANGES_KEY)
    assert [fields for _, fields in notices] == [{"scope": "/byom/projects/acme"}, {"scope": "/byom/accounts/corp"}]


def test_what_was_taken_back_is_announced_too_since_workers_may_have_read_it(
    admin_of: AdminOf, audit: AuditLog, client: redis.Redis
) -> None:
    store = Fragile(MemoryStore(), at=1, error=StoreError, late=False, lasting=False)

    with pytest.raises(StoreError):
        write_changes(admin_of(store), SCOPES[:2])

    _, *made = audit.records()
    assert [(record.action, record.outcome) for record in made] == [
        ("connection.save", "failed"),
        ("project.save", "failed"),
    ]
    assert client.xlen(CHANGES_KEY) == 1


def test_nothing_is_recorded_where_nothing_changes(admin_of: AdminOf, audit: AuditLog) -> None:
    write_changes(admin_of(MemoryStore()), [])

    assert list(audit.records()) == []


def test_a_level_goes_as_a_whole_without_its_secrets_being_read(admin_of: AdminOf, audit: AuditLog) -> None:
    store = MemoryStore()
    paths = ["connections/primary", "credentials/main", "profile", "secrets/main/1"]
    for path in paths:
        store.put(f"/byom/projects/acme/{path}", SecretStr("x"), secure=path.startswith("secrets"))
    store.put("/byom/projects/beta/profile", SecretStr("x"), secure=False)

    assert remove_level(admin_of(store), Level.project("acme")) == 4

    assert held(store) == {"/byom/projects/beta/profile": "x"}
    [record] = [record for record in audit.records() if record.action == "project.remove"]
    assert record.changes == {"removed": ["profile", "connections/primary", "credentials/main", "secrets/main/1"]}
