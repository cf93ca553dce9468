"""Which store a URL opens."""

from pathlib import Path

import pytest

from config.errors import StoreError
from config.store import FileStore, MemoryStore, open_store
from tests.unit.config.store_files import SECRET


@pytest.mark.parametrize("form", ["file:{}", "file://{}"])
@pytest.mark.parametrize("name", ["store.json", "odd #1? 100%.json"])
def test_a_url_opens_the_file_it_names(tmp_path: Path, form: str, name: str) -> None:
    open_store(form.format(tmp_path / name)).put("/a", SECRET, secure=True)

    assert FileStore(tmp_path / name).get("/a") is not None


def test_a_relative_url_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("file:.byom/store.json").put("/a", SECRET, secure=True)

    assert (tmp_path / ".byom" / "store.json").is_file()


def test_a_home_url_is_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("file:~/store.json").put("/a", SECRET, secure=True)

    assert (tmp_path / "store.json").is_file()


def test_a_memory_url_opens_an_empty_store() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:", "has no path"),
        ("file://", "names a host"),
        ("file://host/store.json", "names a host"),
        ("redis://:CANARY@host", "unknown scheme 'redis'"),
        ("", "unknown scheme ''"),
    ],
)
def test_a_url_that_opens_nothing_is_refused_without_quoting_it(url: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem) as caught:
        open_store(url)

    assert "CANARY" not in str(caught.value)
