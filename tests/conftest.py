"""Fixtures that several areas share: a real Valkey, and its fast stand-in."""

from collections.abc import AsyncIterator, Iterator

import fakeredis
import pytest
import redis

from workers.embedded.valkey import EmbeddedValkey


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: EmbeddedValkey) -> EmbeddedValkey:
    """A running Valkey without data. Do not stop it: others use it too."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
        client.script_flush()
    return valkey_server


@pytest.fixture
def valkey_client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
async def fake_redis() -> AsyncIterator[fakeredis.FakeAsyncRedis]:
    async with fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer()) as client:
        yield client
