"""Parameter stores of every kind, empty."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.store import FileStore, MemoryStore, ParameterStore
from config.store.aws import build_client
from config.store.ssm import SsmStore
from tests.aws import Calls, MotoServer

MakeStore = Callable[[], ParameterStore]


@pytest.fixture(scope="session")
def ssm_client(moto_server: MotoServer) -> Any:
    """A client of moto; one for all, since making one takes a tenth of a second."""
    with moto_server.as_environment():
        return build_client("ssm", None)


@pytest.fixture
def calls(ssm_client: Any) -> Iterator[Calls]:
    """What the client of this test calls."""
    calls = Calls()
    calls.watch(ssm_client)
    yield calls
    calls.forget(ssm_client)


@pytest.fixture
def ssm(ssm_client: Any, calls: Calls) -> SsmStore:
    """An empty store in SSM: below a prefix of its own."""
    return SsmStore(prefix=f"/t-{uuid.uuid4().hex}", client=ssm_client)


@pytest.fixture(params=["memory", "file", "ssm"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ParameterStore:
    """An empty store of each kind."""
    match request.param:
        case "memory":
            return MemoryStore()
        case "file":
            return FileStore(tmp_path / "store.json")
        case _:
            store: SsmStore = request.getfixturevalue("ssm")
            return store
