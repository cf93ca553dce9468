"""Changes of several parameters: all or none, whatever fails and wherever a process is killed."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections.draft import Change
from config.errors import StoreError
from config.store import MemoryStore, Parameter
from workers.cli.changes_to_store import write_changes
from workers.cli.errors import CommandError


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

    def list(self, prefix: str) -> Iterator[Parameter]:
        return self._inner.list(prefix)

    def put(self, path: str, value: SecretStr, *, secure: bool) -> Parameter:
        written: Parameter = self._write(lambda: self._inner.put(path, value, secure=secure))
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


def test_all_changes_are_written() -> None:
    store = stored()
    write_changes(store, CHANGES)

    assert held(store) == AFTER


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("late", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("error", [StoreError, KeyboardInterrupt, Killed])
def test_a_failure_at_any_write_takes_all_back(at: int, late: bool, error: type[BaseException]) -> None:  # noqa: FBT001
    store = stored()

    with pytest.raises(error):
        write_changes(Fragile(store, at=at, error=error, late=late, lasting=False), CHANGES)

    assert held(store) == BEFORE


@pytest.mark.parametrize("at", range(1, 3))
def test_what_cannot_be_taken_back_is_named_and_the_same_command_again_mends_it(at: int) -> None:
    store = stored()

    with pytest.raises(CommandError) as caught:
        write_changes(Fragile(store, at=at, error=StoreError, late=False, lasting=True), CHANGES)
    half = held(store)
    again = [
        Change(
            path=change.path, before=SecretStr(half[change.path]) if change.path in half else None, after=change.after
        )
        for change in CHANGES
    ]
    write_changes(store, [change for change in again if change.before != change.after])

    assert caught.value.details["left"] == [change.path for change in reversed(CHANGES[:at])]
    assert "run the same command again" in str(caught.value)
    assert half not in (BEFORE, AFTER)
    assert held(store) == AFTER


@pytest.mark.parametrize("number", range(3))
def test_somebody_elses_change_ends_the_run_and_stays(number: int) -> None:
    store = stored()
    path = CHANGES[number].path
    store.put(path, SecretStr("theirs"), secure=False)

    with pytest.raises(CommandError, match=f"{path} was changed by somebody else meanwhile; nothing was changed"):
        write_changes(store, CHANGES)

    assert held(store) == BEFORE | {path: "theirs"}


def test_what_somebody_else_wrote_over_ours_is_not_taken_back() -> None:
    store = stored()

    class Racing(Fragile):
        def get(self, path: str) -> Parameter | None:
            if self.writes == 1 and path == CHANGES[1].path:
                store.put(CHANGES[0].path, SecretStr("theirs"), secure=False)
                store.put(path, SecretStr("theirs"), secure=False)
            return super().get(path)

    with pytest.raises(CommandError):
        write_changes(Racing(store, at=-1, error=StoreError, late=False, lasting=False), CHANGES)

    assert held(store) == BEFORE | {CHANGES[0].path: "theirs", CHANGES[1].path: "theirs"}
