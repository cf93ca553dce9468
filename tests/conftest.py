"""Fixtures that several areas share: a real Valkey, and its fast stand-in; a stand-in for AWS."""

from collections.abc import AsyncIterator, Iterator

import fakeredis
import pytest
import redis

from tests.aws import MotoServer, Unhurried
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


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


@pytest.fixture
def aws(moto_server: MotoServer) -> Iterator[pytest.MonkeyPatch]:
    """Has this process's boto3 talk to moto. Its state is everybody's: use names of your own."""
    with moto_server.as_environment() as patch:
        yield patch


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> Unhurried:
    """The pauses of boto3 and of our own repetitions are counted and not taken."""
    time = Unhurried()
    monkeypatch.setattr("botocore.endpoint.time", time)
    monkeypatch.setattr("tenacity.nap.time", time)
    return time
