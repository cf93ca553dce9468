"""Stores of both kinds."""

from pathlib import Path

import pytest

from config.store import FileStore, MemoryStore, ParameterStore


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ParameterStore:
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path / "store.json")
