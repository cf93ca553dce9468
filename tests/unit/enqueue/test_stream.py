"""A long stream of jobs: the configuration is not read for each, and a broker that restarts meanwhile loses none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from config.connections import EffectiveConnection
from config.errors import UnknownProject
from config.settings import Settings
from config.store import FileStore, MemoryStore
from tests.support import ManualClock, effective
from tests.unit.enqueue.conftest import job
from workers.embedded.valkey import EmbeddedValkey
from workers.enqueue import producer as module
from workers.enqueue.producer import Producer, _Chains
from workers.enqueue.publishing import BATCH_JOBS
from workers.lanes.control import Lanes


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Projects whose connections were read from the store, in order."""
    found: list[str] = []

    def read(_: Any, project: str) -> list[EffectiveConnection]:
        found.append(project)
        if project == "nobody":
            raise UnknownProject("no such project")
        return [effective()]

    monkeypatch.setattr(module, "effective_chain", read)
    return found


def test_connections_are_read_once_a_second_at_most(reads: list[str]) -> None:
    clock = ManualClock()
    chains = _Chains(MemoryStore(), clock)
    first = chains.of("acme")

    assert [chains.of("acme") is first, chains.of("globex") is first] == [True, False]
    clock.seconds = 1.1
    assert chains.of("acme") is not first
    chains.forget()
    chains.of("acme")
    assert reads == ["acme", "globex", "acme", "acme"]


def test_a_project_that_is_not_there_yet_is_looked_for_each_time(reads: list[str]) -> None:
    chains = _Chains(MemoryStore(), ManualClock())

    for _ in range(2):
        with pytest.raises(UnknownProject):
            chains.of("nobody")
    assert reads == ["nobody", "nobody"]


@pytest.mark.integration
def test_a_broker_that_restarts_meanwhile_loses_nothing_and_gets_nothing_twice(
    store: FileStore, tmp_path: Path
) -> None:
    count = 3 * BATCH_JOBS
    with EmbeddedValkey(data_dir=tmp_path / "data") as valkey:
        settings = Settings(broker_url=SecretStr(valkey.url), store_url=f"file:{store.path}")

        def jobs() -> Iterator[dict[str, Any]]:
            for number in range(count):
                if number == BATCH_JOBS + 10:
                    valkey.restart()
                yield job(f"e{number}", project="free")

        with Producer.from_settings(settings) as producer, redis.Redis.from_url(valkey.url) as client:
            handles = list(producer.enqueue_many(jobs()))

            assert Lanes(client).waiting("free") == len({handle.id for handle in handles}) == count
            assert not any(handle.duplicate for handle in handles)
