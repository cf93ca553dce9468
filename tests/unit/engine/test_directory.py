import asyncio
import threading

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.errors import CredentialMissing, UnknownProject
from config.store import MemoryStore, Parameter
from tests.support import ManualClock
from workers.directory import Directory


class CountingStore(MemoryStore):
    reads = 0
    hold: threading.Event | None = None

    def get(self, path: str) -> Parameter | None:
        self.reads += 1
        if self.hold is not None:
            assert self.hold.wait(timeout=10)
        return super().get(path)


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore()
    save_project(store, "acme")
    scope = project_path("acme")
    save_connection(
        store, scope, {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
    )
    save_credential(store, scope, "main", SecretStr("first"))
    return store


async def test_reads_are_trusted_for_the_ttl_and_no_longer(store: CountingStore) -> None:
    clock = ManualClock()
    directory = Directory(store, clock=clock, ttl=2)
    (effective,) = await directory.chain("acme")
    await directory.credential(effective)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    clock.seconds = 1.9
    cached = await directory.credential(effective)
    clock.seconds = 2.1
    read = await directory.credential(effective)

    assert cached is not None
    assert cached.version == 1
    assert read is not None
    assert (read.version, read.secret.get_secret_value()) == (2, "second")


async def test_a_fresh_read_goes_past_the_cache(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    await directory.credential(effective)
    save_credential(store, project_path("acme"), "main", SecretStr("second"))

    fresh = await directory.credential(effective, fresh=True)

    assert fresh is not None
    assert fresh.version == 2


async def test_concurrent_readers_share_one_read(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    (effective,) = await directory.chain("acme")
    store.reads, store.hold = 0, threading.Event()

    readers = [asyncio.create_task(directory.credential(effective)) for _ in range(20)]
    await asyncio.sleep(0)
    store.hold.set()
    await asyncio.gather(*readers)

    # Which version is active, and its secret.
    assert store.reads == 2


async def test_a_failed_read_is_not_remembered(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60)
    with pytest.raises(UnknownProject, match="project 'new' is not configured"):
        await directory.chain("new")
    (effective,) = await directory.chain("acme")
    store.delete("/byom/projects/acme/credentials/main")
    with pytest.raises(CredentialMissing, match="connection 'primary' of project 'acme'"):
        await directory.credential(effective)

    save_credential(store, project_path("acme"), "main", SecretStr("back"))

    assert await directory.credential(effective) is not None


async def test_the_cache_is_bounded(store: CountingStore) -> None:
    directory = Directory(store, clock=ManualClock(), ttl=60, entries=1)
    (effective,) = await directory.chain("acme")
    await directory.credential(effective)
    store.reads = 0

    await directory.chain("acme")

    assert store.reads > 0
