"""Secrets in a file are encrypted, with a key of their store's own."""

import base64
import json
import multiprocessing
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.store import FileStore, MemoryStore, Parameter, SecretFacts, open_store
from tests.unit.config.store_files import KEY, OTHER_KEY, SECRET, entries, refused, write_raw


def test_secrets_are_encrypted_and_the_rest_is_readable(file: Path) -> None:
    store = FileStore(file)
    store.put("/secret", SECRET, secure=True)
    store.put("/plain", SecretStr("to be compared"), secure=False)

    assert "CANARY" not in file.read_text(encoding="utf-8")
    assert entries(file)["/plain"] == {"secure": False, "value": "to be compared", "version": 1}
    assert entries(file)["/secret"].keys() == {"ciphertext", "key", "secure", "version"}
    assert base64.b64encode(b"sk-CANARY").decode() not in file.read_text(encoding="utf-8")


def test_the_same_secret_looks_different_each_time(file: Path) -> None:
    store = FileStore(file)
    for path in ("/a", "/b"):
        store.put(path, SECRET, secure=True)

    assert len({entry["ciphertext"] for entry in entries(file).values()}) == 2


def test_a_key_is_made_with_the_first_secret_for_its_owner_only(file: Path, key_file: Path) -> None:
    store = FileStore(file)
    store.put("/plain", SECRET, secure=False)
    assert not key_file.exists()

    store.put("/secret", SECRET, secure=True)
    made = key_file.read_bytes()
    store.put("/another", SECRET, secure=True)

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert len(base64.b64decode(made)) == 32
    assert key_file.read_bytes() == made
    assert made.strip() not in file.read_bytes()


def test_two_stores_have_two_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        FileStore(tmp_path / name).put("/a", SECRET, secure=True)

    assert (tmp_path / "one.key").read_bytes() != (tmp_path / "two.key").read_bytes()


def test_a_given_key_leaves_no_key_file(file: Path, key_file: Path) -> None:
    put = FileStore(file, key=KEY).put("/a", SECRET, secure=True)

    assert not key_file.exists()
    assert FileStore(file, key=KEY).get("/a") == put
    assert open_store(f"file:{file}", key=KEY).get("/a") == put


def test_a_key_may_be_written_in_both_alphabets_of_base64(file: Path) -> None:
    raw = bytes([251, 255] * 16)
    FileStore(file, key=SecretStr(base64.b64encode(raw).decode())).put("/a", SECRET, secure=True)

    assert FileStore(file, key=SecretStr(base64.urlsafe_b64encode(raw).decode() + "\n")).get("/a") is not None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o602], ids=oct)
def test_a_key_file_that_others_can_read_or_write_is_refused(file: Path, key_file: Path, mode: int) -> None:
    store = FileStore(file)
    store.put("/a", SECRET, secure=True)
    key_file.chmod(mode)

    refused(lambda: store.get("/a"), f"chmod 600 {key_file}")
    refused(lambda: store.put("/b", SECRET, secure=True), f"chmod 600 {key_file}")


def test_without_its_key_file_a_store_says_what_is_missing_and_makes_no_other_key(file: Path, key_file: Path) -> None:
    store = FileStore(file)
    store.put("/a", SECRET, secure=True)
    store.put("/plain", SecretStr("fine"), secure=False)
    key_file.unlink()

    refused(lambda: store.get("/a"), f"{key_file} is missing; restore it, or set BYOM_STORE_KEY")
    refused(lambda: store.put("/b", SECRET, secure=True), f"{key_file} is missing, and a new key would not decrypt")
    assert not key_file.exists()
    assert store.get("/plain") is not None
    assert list(store.secrets("/plain")) == []


def test_another_key_is_told_from_a_damaged_value(file: Path) -> None:
    FileStore(file, key=KEY).put("/a", SECRET, secure=True)
    other = FileStore(file, key=OTHER_KEY)

    refused(lambda: other.get("/a"), "it was encrypted with the key [0-9a-f]{12}, and BYOM_STORE_KEY is the key")
    refused(lambda: other.put("/b", SECRET, secure=True), "which none of the secrets in .* was encrypted with")
    assert FileStore(file, key=KEY).get("/a") is not None


def test_a_list_that_needs_no_secrets_needs_no_key(file: Path) -> None:
    FileStore(file, key=KEY).put("/p/secret", SECRET, secure=True, kms_key="arn")
    other = FileStore(file, key=OTHER_KEY)
    plain = other.put("/p/plain", SecretStr("fine"), secure=False)

    assert list(other.list("/p", secure=False)) == [plain]
    assert list(other.secrets("/p")) == [SecretFacts(path="/p/secret", version=1, kms_key="arn")]
    refused(lambda: other.list("/p"), "it was encrypted with the key")


@pytest.mark.parametrize(
    "text",
    ["", "CANARY", "c2hvcnQ=", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode(), "ä" * 44],
)
def test_what_is_no_key_is_refused_without_quoting_it(file: Path, key_file: Path, text: str) -> None:
    refused(lambda: FileStore(file, key=SecretStr(text)), "BYOM_STORE_KEY is not a key of a store: it must be 32 bytes")
    FileStore(file).put("/a", SECRET, secure=True)
    key_file.write_text(text, encoding="utf-8")

    refused(lambda: FileStore(file).get("/a"), f"{key_file} is not a key of a store: it must be 32 bytes as base64")


def moved(document: dict[str, Any]) -> None:
    document["/b"] = document["/a"]


def swapped_back(document: dict[str, Any]) -> None:
    document["/a"] = {**document["/a"], "version": 2}


def changed(document: dict[str, Any]) -> None:
    sealed = bytearray(base64.b64decode(document["/a"]["ciphertext"]))
    sealed[-1] ^= 1
    document["/a"]["ciphertext"] = base64.b64encode(sealed).decode()


def cut(document: dict[str, Any]) -> None:
    document["/a"]["ciphertext"] = document["/a"]["ciphertext"][:8]


def garbled(document: dict[str, Any]) -> None:
    document["/a"]["ciphertext"] = "sk-CANARY"


@pytest.mark.parametrize("damage", [moved, swapped_back, changed, cut, garbled], ids=lambda one: one.__name__)
def test_a_secret_counts_only_at_its_path_and_version_and_unchanged(
    file: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    store = FileStore(file, key=KEY)
    store.put("/a", SECRET, secure=True)
    document = entries(file)
    damage(document)
    write_raw(file, json.dumps(document))
    path = "/b" if damage is moved else "/a"

    refused(lambda: store.get(path), f"the parameter {path} is damaged; delete it and save it again")
    assert store.delete(path) is True
    assert store.put(path, SECRET, secure=True) == Parameter(path=path, value=SECRET, version=1, secure=True)


def test_a_crash_while_the_key_is_made_leaves_neither_key_nor_store(
    file: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            FileStore(file).put("/a", SECRET, secure=True)

    assert {path.name for path in file.parent.iterdir()} == {"store.json.lock"}
    assert FileStore(file).put("/a", SECRET, secure=True).version == 1
    assert key_file.exists()


def _put_first_secret(file: Path, name: int) -> None:
    FileStore(file).put(f"/own/{name}", SECRET, secure=True)


def test_processes_that_start_a_store_at_once_agree_on_one_key(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_first_secret, args=(file, name)) for name in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [parameter.value for parameter in FileStore(file).list("/own")] == [SECRET] * 3


def test_a_path_keeps_its_kind(file: Path) -> None:
    for store in (FileStore(file), MemoryStore()):
        for path, secure in (("/secret", True), ("/plain", False)):
            store.put(path, SECRET, secure=secure)
            refused(partial(store.put, path, SECRET, secure=not secure), f"{path} is stored as a .* and cannot become")
