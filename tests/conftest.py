"""Fixtures that several areas share: a real Valkey, and its fast stand-in; a stand-in for AWS."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from tests.aws import MotoServer, Unhurried
from tests.postgres import Postgres, server_programs
from workers.embedded.valkey import EmbeddedValkey

# How long an example takes says nothing on a machine that is busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


#: Files that take longest, though they have few tests: begun last, they would keep one process busy alone.
_LONG = {"test_chaos.py", "test_readme.py", "test_cli_laptop.py", "test_backfill_runs.py", "test_broker_safety.py"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; all else stays in its random order."""
    items.sort(key=lambda item: item.path.name not in _LONG)


class _Lua:
    """fakeredis's Lua, which takes the first line of a script as a server does: it is not Lua."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def execute(self, source: str | bytes, *args: Any) -> Any:
        if isinstance(source, bytes) and source.startswith(b"#!"):
            source = source.partition(b"\n")[2]
        return self._runtime.execute(source, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


_runtime_of = ScriptingCommandsMixin._get_server_runtime
type.__setattr__(
    ScriptingCommandsMixin, "_get_server_runtime", lambda commands, server: _Lua(_runtime_of(commands, server))
)


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (initdb and postgres, as `apt-get install postgresql` has)")
    with Postgres(programs) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """URL of an empty database."""
    return postgres_server.clean()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStr:
    """URL of an empty database for the ledger, on each kind that is supported."""
    if request.param == "sqlite":
        return SecretStr(f"sqlite:///{tmp_path}/usage.db")
    return SecretStr(request.getfixturevalue("postgres_url"))
