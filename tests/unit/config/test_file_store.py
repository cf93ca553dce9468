"""Parameters in a file: who may read it, what a crash leaves, and what is said of damage."""

import json
import multiprocessing
import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.errors import StoreError
from config.store import FileStore
from tests.unit.config.store_files import SECRET, write_raw


def test_the_file_and_its_new_folder_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "store.json"
    FileStore(file).put("/a", SECRET, secure=True)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o602], ids=oct)
def test_a_file_that_others_can_read_or_write_is_refused(file: Path, mode: int) -> None:
    store = FileStore(file)
    store.put("/a", SECRET, secure=True)
    file.chmod(mode)

    for use in (lambda: store.get("/a"), lambda: store.list("/a"), lambda: store.put("/b", SECRET, secure=True)):
        with pytest.raises(StoreError, match=f"chmod 600 {file}"):
            use()


def test_what_one_store_wrote_another_reads(file: Path) -> None:
    FileStore(file).put("/a", SECRET, secure=True)
    FileStore(file).put("/a", SECRET, secure=True)

    parameter = FileStore(file).get("/a")
    assert parameter is not None
    assert (parameter.version, parameter.value) == (2, SECRET)


def test_a_crash_in_the_middle_of_a_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(file)
    store.put("/a", SecretStr("old"), secure=True)
    before = file.read_bytes()

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        store.put("/a", SecretStr("new"), secure=True)

    assert file.read_bytes() == before
    assert [
        path.name for path in file.parent.iterdir() if path.name.endswith(".json") or path.name.startswith(".")
    ] == ["store.json"]


def _die_while_writing(file: Path) -> None:
    """Runs in a process of its own; ends it without any cleaning up, as `kill -9` does."""

    def die(fd: Any) -> None:
        os._exit(9)

    os.fsync = die
    FileStore(file).put("/a", SecretStr("new"), secure=True)


def test_a_process_killed_in_the_middle_of_a_write_leaves_the_old_file_and_no_lock(file: Path) -> None:
    store = FileStore(file)
    store.put("/a", SecretStr("old"), secure=True)
    process = multiprocessing.get_context("spawn").Process(target=_die_while_writing, args=(file,))
    process.start()
    process.join()

    assert process.exitcode == 9
    parameter = store.get("/a")
    assert parameter is not None
    assert (parameter.value, parameter.version) == (SecretStr("old"), 1)
    assert store.put("/a", SECRET, secure=True).version == 2


def _write_often(file: Path, name: int) -> None:
    for _ in range(25):
        FileStore(file).put("/shared", SECRET, secure=True)
        FileStore(file).put(f"/own/{name}", SECRET, secure=True)


def test_processes_that_write_at_once_lose_nothing(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_often, args=(file, name)) for name in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    shared = FileStore(file).get("/shared")
    assert shared is not None
    assert shared.version == 50
    assert [parameter.version for parameter in FileStore(file).list("/own")] == [25, 25]


@pytest.mark.parametrize(
    "text",
    ['{"/a": {"value": "sk-CANARY', '["sk-CANARY"]', '"sk-CANARY"', "sk-CANARY", "", "[" * 100_000],
    ids=["cut", "list", "string", "text", "empty", "deep"],
)
def test_a_damaged_file_is_reported_without_quoting_it(file: Path, text: str) -> None:
    write_raw(file, text)

    with pytest.raises(StoreError, match="is damaged, or no store: not a JSON object") as caught:
        FileStore(file).get("/a")

    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    # The decoder's own error carries the whole text.
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "entry",
    [
        "sk-CANARY",
        {"value": "sk-CANARY"},
        {"value": ["sk-CANARY"], "version": 1, "secure": False},
        {"value": "sk-CANARY", "version": "1", "secure": False},
        {"value": "sk-CANARY", "version": 1, "secure": "yes"},
        {"value": "sk-CANARY", "version": 1, "secure": True},
        {"ciphertext": "c2stQ0FOQVJZ", "version": 1, "secure": True},
        {"ciphertext": "c2stQ0FOQVJZ", "key": 7, "version": 1, "secure": True},
        {"ciphertext": "c2stQ0FOQVJZ", "key": "0", "value": "sk-CANARY", "version": 1, "secure": True},
        {"ciphertext": "c2stQ0FOQVJZ", "key": "0", "value": "sk-CANARY", "version": 1, "secure": False},
    ],
    ids=[
        "text",
        "no version",
        "list value",
        "text version",
        "text secure",
        "plain secret",
        "no key",
        "number for a key",
        "both, secure",
        "both, plain",
    ],
)
def test_a_damaged_parameter_is_reported_without_quoting_it_and_can_be_replaced(file: Path, entry: Any) -> None:
    write_raw(file, json.dumps({"/a": entry, "/b": {"value": "fine", "version": 1, "secure": False}}))
    store = FileStore(file)

    uses: list[Callable[[], object]] = [lambda: store.get("/a"), lambda: store.put("/a", SECRET, secure=True)]
    for use in uses:
        with pytest.raises(StoreError, match="the parameter /a is damaged; delete it") as caught:
            use()
        assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert store.get("/b") is not None
    assert store.delete("/a") is True
    assert store.put("/a", SECRET, secure=True).version == 1


def test_deleting_nothing_writes_nothing(file: Path) -> None:
    FileStore(file).delete("/a")

    assert not file.exists()


def test_a_path_that_is_no_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read the store"):
        FileStore(tmp_path).get("/a")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")

    with pytest.raises(StoreError, match="cannot write the store"):
        FileStore(tmp_path / "taken" / "store.json").put("/a", SECRET, secure=True)


def test_a_full_disk_is_reported_and_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(file)
    store.put("/a", SecretStr("old"), secure=True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.put("/a", SecretStr("new"), secure=True)

    assert [parameter.value for parameter in [store.get("/a")] if parameter] == [SecretStr("old")]


def test_stores_in_one_folder_do_not_share_a_lock_file_with_a_store(tmp_path: Path) -> None:
    FileStore(tmp_path / "store.json").put("/a", SECRET, secure=True)
    FileStore(tmp_path / "store.lock").put("/b", SECRET, secure=True)

    assert FileStore(tmp_path / "store.json").get("/b") is None
    assert FileStore(tmp_path / "store.lock").get("/b") is not None
