"""What every parameter store must do; run against each implementation."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.errors import StoreConflict, StoreError
from config.store import FileStore, MemoryStore, Parameter, ParameterStore, SecretFacts, join_path

SECRET = SecretStr("sk-CANARY")
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


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


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("size", [4_096, 4_097, 8_192])
def test_a_value_may_have_8192_bytes(store: ParameterStore, size: int, secure: bool) -> None:  # noqa: FBT001 - a parameter
    text = "ä" * (size // 2) + "x" * (size % 2)
    put = store.put("/a", SecretStr(text), secure=secure)

    assert store.get("/a") == put
    assert put.value.get_secret_value() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("CANARY" + "ä" * 4_094, "has 8,194 bytes and a parameter holds 8,192"),
        ("CANARY\ud800", "is not text"),
        ("CANARY {{ssm:other}}", "takes for a reference"),
    ],
    ids=["empty", "large", "surrogate", "reference"],
)
def test_what_not_every_store_can_keep_is_refused_by_each(store: ParameterStore, text: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem) as caught:
        store.put("/a", SecretStr(text), secure=True)

    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert store.get("/a") is None


def test_every_put_is_a_new_version_of_its_own_path(store: ParameterStore) -> None:
    versions = [store.put(path, SECRET, secure=True).version for path in ("/a", "/a", "/b", "/a")]

    assert versions == [1, 2, 1, 3]
    assert [parameter.version for path in ("/a", "/b") if (parameter := store.get(path))] == [3, 1]


def test_the_newest_version_is_read(store: ParameterStore) -> None:
    store.put("/a", SecretStr("old"), secure=True)
    store.put("/a", SecretStr("new"), secure=True)

    assert store.get("/a") == Parameter(path="/a", value=SecretStr("new"), version=2, secure=True)


def test_a_value_that_must_be_new_is_written_once(store: ParameterStore) -> None:
    store.put("/a", SecretStr("first"), secure=False, expected_version=0)

    with pytest.raises(StoreConflict, match=r"/a is .* where no value was expected: somebody else"):
        store.put("/a", SecretStr("second"), secure=False, expected_version=0)
    assert store.get("/a") == Parameter(path="/a", value=SecretStr("first"), version=1)


def test_a_value_is_replaced_only_while_it_is_what_the_writer_read(store: ParameterStore) -> None:
    store.put("/a", SecretStr("1"), secure=True)

    assert store.put("/a", SecretStr("2"), secure=True, expected_version=1).version == 2
    for expected in (1, 3):
        with pytest.raises(StoreConflict, match=f"/a is version 2 where version {expected} was expected"):
            store.put("/a", SecretStr("late"), secure=True, expected_version=expected)
    assert store.get("/a") == Parameter(path="/a", value=SecretStr("2"), version=2, secure=True)


def test_a_value_that_is_gone_is_not_brought_back(store: ParameterStore) -> None:
    version = store.put("/a", SECRET, secure=True).version
    store.delete("/a")

    with pytest.raises(StoreConflict, match="/a is not there where version 1 was expected"):
        store.put("/a", SECRET, secure=True, expected_version=version)
    assert store.get("/a") is None


def test_of_many_writers_of_a_new_value_one_wins(store: ParameterStore) -> None:
    start = threading.Barrier(8)
    won: list[str] = []

    def write(name: str) -> None:
        start.wait()
        try:
            store.put("/a", SecretStr(name), secure=False, expected_version=0)
        except StoreConflict:
            return
        won.append(name)

    in_threads([partial(write, str(number)) for number in range(8)])

    assert store.get("/a") == Parameter(path="/a", value=SecretStr(won[0]), version=1)
    assert len(won) == 1


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


def test_a_long_list_is_whole(store: ParameterStore) -> None:
    expected = [store.put(f"/p/{number:02}", SecretStr(f"v{number}"), secure=number % 2 == 0) for number in range(23)]

    assert list(store.list("/p")) == expected


def test_a_list_can_leave_out_what_is_secret_or_what_is_not(store: ParameterStore) -> None:
    secret = store.put("/p/secret", SECRET, secure=True)
    plain = store.put("/p/plain", SECRET, secure=False)

    assert list(store.list("/p", secure=False)) == [plain]
    assert list(store.list("/p", secure=True)) == [secret]
    assert list(store.list("/p", secure=None)) == [plain, secret]


def test_secrets_are_listed_with_the_key_they_were_written_under(store: ParameterStore) -> None:
    store.put("/p/plain", SECRET, secure=False)
    for number in range(12):
        store.put(f"/p/own/{number:02}", SECRET, secure=True)
    for _ in range(2):
        store.put("/p/theirs", SECRET, secure=True, kms_key=KEY)

    assert list(store.secrets("/p")) == [
        *(SecretFacts(path=f"/p/own/{number:02}", version=1, kms_key=None) for number in range(12)),
        SecretFacts(path="/p/theirs", version=2, kms_key=KEY),
    ]
    assert list(store.secrets("/p/theirs")) == []


def test_a_secret_comes_back_from_a_customers_key(store: ParameterStore) -> None:
    store.put("/p/a", SECRET, secure=True, kms_key=KEY)
    store.put("/p/a", SECRET, secure=True)

    assert list(store.secrets("/p")) == [SecretFacts(path="/p/a", version=2, kms_key=None)]


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
    "/a:1",
    "/a" * 16,
    "/" + "a" * 900,
]


@pytest.mark.parametrize("path", UNSAFE, ids=ascii)
@pytest.mark.parametrize(
    "use",
    [
        lambda store, path: store.get(path),
        lambda store, path: store.put(path, SECRET, secure=True),
        lambda store, path: store.delete(path),
        lambda store, path: store.list(path),
        lambda store, path: store.secrets(path),
    ],
    ids=["get", "put", "delete", "list", "secrets"],
)
def test_an_unsafe_path_is_refused_at_once_by_every_method(
    store: ParameterStore, use: Callable[[ParameterStore, str], object], path: str
) -> None:
    with pytest.raises(StoreError, match="is not a parameter path"):
        use(store, path)


def in_threads(works: list[Callable[[], None]]) -> None:
    """Run all at once, switched as often as can be, so that a write without a lock is caught in the middle."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)


def test_writes_from_many_threads_lose_nothing(store: ParameterStore) -> None:
    start = threading.Barrier(8)
    rounds = 25 if isinstance(store, MemoryStore | FileStore) else 4

    def write(name: int) -> None:
        start.wait()
        for _ in range(rounds):
            store.put("/shared", SECRET, secure=True)
            store.put(f"/own/{name}", SECRET, secure=True)

    in_threads([partial(write, number) for number in range(8)])

    shared = store.get("/shared")
    assert shared is not None
    assert shared.version == 8 * rounds
    assert [parameter.version for parameter in store.list("/own")] == [rounds] * 8


def test_a_value_is_masked_wherever_a_parameter_is_printed(store: ParameterStore) -> None:
    parameter = store.put("/a", SECRET, secure=False)

    assert "CANARY" not in f"{parameter} {parameter!r} {list(store.list('/a'))} {store!r} {list(store.secrets('/a'))}"


def test_nothing_that_a_store_does_logs_a_value(store: ParameterStore, caplog: pytest.LogCaptureFixture) -> None:
    # As somebody who debugs would do it, whatever the store did with these loggers before.
    for name in ("", "botocore", "boto3", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    store.put("/p/a", SECRET, secure=True, kms_key=KEY)
    store.put("/p/a", SECRET, secure=True, expected_version=1)
    with pytest.raises(StoreConflict):
        store.put("/p/a", SECRET, secure=True, expected_version=7)
    store.get("/p/a")
    list(store.list("/p"))
    list(store.secrets("/p"))
    store.delete("/p/a")

    assert "CANARY" not in caplog.text


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
