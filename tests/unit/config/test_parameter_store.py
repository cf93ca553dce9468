"""What every parameter store must do; run against each implementation."""

import sys
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.errors import StoreError
from config.store import MemoryStore, Parameter, ParameterStore, join_path

SECRET = SecretStr("sk-CANARY")


def paths(store: ParameterStore, prefix: str) -> list[str]:
    return [parameter.path for parameter in store.list(prefix)]


def test_an_empty_store_has_nothing(store: ParameterStore) -> None:
    assert store.get("/a") is None
    assert paths(store, "/a") == []
    assert store.delete("/a") is False


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("text", ["sk-1", "zwei\nZeilen", "Grüße 🌊", '{"json": "inside"}', "\x00"], ids=ascii)
def test_what_was_put_is_got(store: ParameterStore, text: str, secure: bool) -> None:  # noqa: FBT001 - a parameter
    put = store.put("/a/b", SecretStr(text), secure=secure)

    assert put == Parameter(path="/a/b", value=SecretStr(text), version=1, secure=secure)
    assert store.get("/a/b") == put


def test_every_put_is_a_new_version_of_its_own_path(store: ParameterStore) -> None:
    versions = [store.put(path, SECRET, secure=True).version for path in ("/a", "/a", "/b", "/a")]

    assert versions == [1, 2, 1, 3]
    assert [parameter.version for path in ("/a", "/b") if (parameter := store.get(path))] == [3, 1]


def test_the_newest_version_is_read(store: ParameterStore) -> None:
    store.put("/a", SecretStr("old"), secure=True)
    store.put("/a", SecretStr("new"), secure=True)

    assert store.get("/a") == Parameter(path="/a", value=SecretStr("new"), version=2, secure=True)


def test_deleting_removes_all_versions(store: ParameterStore) -> None:
    store.put("/a", SECRET, secure=True)
    store.put("/a", SECRET, secure=True)

    assert store.delete("/a") is True
    assert store.delete("/a") is False
    assert store.get("/a") is None
    assert store.put("/a", SECRET, secure=True).version == 1


def test_a_list_holds_what_lies_below_in_the_order_of_paths(store: ParameterStore) -> None:
    for path in ("/p/b", "/p/a/x", "/p", "/pp/a", "/p/a", "/q"):
        store.put(path, SECRET, secure=False)

    assert paths(store, "/p") == ["/p/a", "/p/a/x", "/p/b"]
    assert paths(store, "/p/a") == ["/p/a/x"]
    assert paths(store, "/nowhere") == []


def test_a_list_holds_the_newest_versions(store: ParameterStore) -> None:
    store.put("/p/a", SecretStr("old"), secure=True)
    newest = store.put("/p/a", SecretStr("new"), secure=True)

    assert list(store.list("/p")) == [newest]


def test_a_list_is_a_snapshot(store: ParameterStore) -> None:
    for path in ("/p/a", "/p/b"):
        store.put(path, SECRET, secure=True)
    listed = store.list("/p")
    store.delete("/p/b")
    store.put("/p/c", SECRET, secure=True)

    assert [parameter.path for parameter in listed] == ["/p/a", "/p/b"]


UNSAFE = [
    "",
    "/",
    "a",
    "a/b",
    "/a/",
    "//a",
    "/a//b",
    "/..",
    "/a/../b",
    "/a/./b",
    "/.hidden",
    "/a b",
    "/a\n",
    "/a\x00b",
    "/ä",
    "/a\\b",
    "/a*",
    "/-a",
    "/a%2e%2e",
]


@pytest.mark.parametrize("path", UNSAFE, ids=ascii)
@pytest.mark.parametrize(
    "use",
    [
        lambda store, path: store.get(path),
        lambda store, path: store.put(path, SECRET, secure=True),
        lambda store, path: store.delete(path),
        lambda store, path: store.list(path),
    ],
    ids=["get", "put", "delete", "list"],
)
def test_an_unsafe_path_is_refused_at_once_by_every_method(
    store: ParameterStore, use: Callable[[ParameterStore, str], object], path: str
) -> None:
    with pytest.raises(StoreError, match="is not a parameter path"):
        use(store, path)


def test_writes_from_many_threads_lose_nothing(store: ParameterStore) -> None:
    start = threading.Barrier(8)

    def write(name: int) -> None:
        start.wait()
        for _ in range(25):
            store.put("/shared", SECRET, secure=True)
            store.put(f"/own/{name}", SECRET, secure=True)

    # Switched as often as can be, so that a write without a lock is caught in the middle.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    shared = store.get("/shared")
    assert shared is not None
    assert shared.version == 200
    assert [parameter.version for parameter in store.list("/own")] == [25] * 8


def test_a_value_is_masked_wherever_a_parameter_is_printed(store: ParameterStore) -> None:
    parameter = store.put("/a", SECRET, secure=False)

    assert "CANARY" not in f"{parameter} {parameter!r} {list(store.list('/a'))} {store!r}"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=20) | st.lists(st.sampled_from(["..", ".", "/", "a", "%2e", "\\", "\n"]), max_size=5).map("".join)
)
def test_no_name_climbs_out_of_its_branch(name: str) -> None:
    try:
        path = join_path("/byom/projects", name, "profile")
    except StoreError:
        return

    assert path.split("/") == ["", "byom", "projects", name, "profile"]
    assert name not in {"", ".", ".."}
    assert name.isascii()
    assert name.isprintable()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"))
def test_every_plain_name_makes_a_path_that_stores_take(name: str) -> None:
    store = MemoryStore()
    store.put(join_path("/a", name), SECRET, secure=True)

    assert paths(store, "/a") == [f"/a/{name}"]
