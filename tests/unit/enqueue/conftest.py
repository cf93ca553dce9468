"""A producer on a real Valkey, and two projects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import ProjectProfile, project_path, save_connection, write_project
from config.settings import Settings
from config.store import FileStore
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue.producer import Producer


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """`acme` may have three jobs waiting, `free` as many as it likes."""
    store = FileStore(tmp_path / "store.json")
    connection = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    for project, profile in {"acme": ProjectProfile(max_waiting=3), "free": ProjectProfile()}.items():
        write_project(store, project, profile)
        save_connection(store, project_path(project), connection)
    return store


@pytest.fixture
def settings(valkey: EmbeddedValkey, store: FileStore) -> Settings:
    return Settings(broker_url=SecretStr(valkey.url), store_url=f"file:{store.path}")


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    with Producer.from_settings(settings) as producer:
        yield producer


def job(name: str, *, project: str = "acme", key: str | None = None) -> dict[str, Any]:
    document = {"project": project, "episodes": [{"id": name, "content": "said"}]}
    return document | ({"idempotency_key": key} if key else {})
