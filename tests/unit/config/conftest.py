"""Parameter stores of every kind, empty."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.store import FileStore, MemoryStore, ParameterStore
from config.store.aws import build_client
from config.store.ssm import SsmStore
from tests.aws import FREE, Calls, MotoServer, documented_actions


@pytest.fixture(scope="session")
def aws_clients(moto_server: MotoServer) -> dict[str, Any]:
    """Clients of moto; shared by all, since making one takes a tenth of a second."""
    with moto_server.as_environment():
        return {service: build_client(service, None) for service in ("ssm", "kms", "sts")}


@pytest.fixture
def calls(aws_clients: dict[str, Any]) -> Iterator[Calls]:
    """What the clients of this test call."""
    with Calls().watching(*aws_clients.values()) as calls:
        yield calls
    assert calls.actions - FREE <= documented_actions(), "docs/store.md must have every action that is called"


@pytest.fixture
def ssm(aws_clients: dict[str, Any], calls: Calls) -> SsmStore:
    """An empty store in SSM: below a prefix of its own."""
    return SsmStore(prefix=f"/t-{uuid.uuid4().hex}", client=aws_clients["ssm"])


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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.json"


@pytest.fixture
def key_file(file: Path) -> Path:
    return file.with_name("store.json.key")
