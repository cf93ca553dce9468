"""Letters on the stand-in and on the real thing: what scripts do must be the same on both."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import MemoryStore
from tasks.contract import (
    AttemptRecord,
    EpisodeResult,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    ProviderKind,
    TokenUsage,
    parse_job,
)
from tests.notify import record
from tests.support import START, ManualClock
from workers.alerts import MemoryAlerts
from workers.configuration.directory import Directory
from workers.dead.letter import Letter
from workers.dead.sealing import Sealing
from workers.dead.shelf import Limits, Shelf
from workers.dead.writer import Writer
from workers.embedded.valkey import EmbeddedValkey
from workers.jobs import Ending, RedisJobs

TEXT = "Ada moved to Lisbon in May 2026."


@dataclass
class Bench:
    """A writer and the shelf on one server."""

    client: redis.asyncio.Redis
    sync: redis.Redis
    clock: ManualClock = field(default_factory=ManualClock)
    alerts: MemoryAlerts = field(default_factory=MemoryAlerts)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.jobs = RedisJobs(self.client, state_ttl=3_600, records_kept=100)
        self.shelf = Shelf(self.sync)
        self.directory = Directory(self.store, clock=self.clock, ttl=1_000_000)

    def writer(self, limits: Limits | None = None, *, sealing: Sealing | None = None) -> Writer:
        return Writer(
            self.client,
            jobs=self.jobs,
            directory=self.directory,
            sealing=sealing or Sealing(),
            limits=limits or Limits(),
            alerts=self.alerts,
            clock=self.clock,
        )

    async def end(self, job_id: str, ending: Ending, *, writer: Writer | None = None, **changes: Any) -> None:
        """End a job as the engine does, and tell of it; a second later than the one before."""
        self.clock.seconds += 1
        stands = (await self.jobs.end(job_id, owner="", ending=ending)).ending
        await (writer or self.writer()).job_ended(make_job(**changes), job_id, stands)

    def letters(self, **which: Any) -> list[Letter]:
        return [letter for page in self.shelf.pages(**which) for letter in page]

    def ids(self, **which: Any) -> list[str]:
        return [letter.id for letter in self.letters(**which)]

    def left(self) -> list[str]:
        """Keys that letters have left behind, but for the count of those that were dropped."""
        keys = {key.decode() for key in self.sync.keys("byom:dead:*") if isinstance(key, bytes)}
        return sorted(keys - {"byom:dead:dropped", "byom:dead:told"})


@pytest.fixture(params=["fake", pytest.param("valkey", marks=pytest.mark.integration)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        server = fakeredis.FakeServer()
        async with fakeredis.FakeAsyncRedis(server=server) as client:
            yield Bench(client=client, sync=fakeredis.FakeRedis(server=server))
        return
    real: EmbeddedValkey = request.getfixturevalue("valkey")
    async with redis.asyncio.Redis.from_url(real.url) as client:
        with redis.Redis.from_url(real.url) as sync:
            yield Bench(client=client, sync=sync)


def configure(store: MemoryStore, project: str = "acme") -> None:
    """A project with one connection."""
    scope = project_path(project)
    save_project(store, project)
    save_credential(store, scope, "main", SecretStr("key-one"))
    save_connection(
        store, scope, {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "main"}
    )


def make_job(**changes: Any) -> ExtractionJob:
    return parse_job({"project": "acme", "episodes": [{"id": "e1", "content": TEXT}]} | changes)


def failed(code: FailureCode = FailureCode.PROVIDER_UNAVAILABLE, *, replays: int = 0, **changes: Any) -> Ending:
    fields = {"message": "down", "provider": ProviderKind.OPENAI, "connection": "primary", "model": "gpt-6-luna"}
    return Ending(failure=Failure.model_validate({"code": code, **fields, **changes}), replays=replays)


def succeeded(job_id: str, *, replays: int = 0) -> Ending:
    result = ExtractionResult(job_id=job_id, project="acme", status=JobStatus.SUCCEEDED)
    return Ending(result=result, replays=replays)


def in_part(job_id: str, *codes: FailureCode, replays: int = 0) -> Ending:
    """An ending in which one episode went well and one failed for each code."""
    episodes = [EpisodeResult(episode_id="good")]
    for number, code in enumerate(codes, start=1):
        failure = Failure(code=code, message="down", connection="primary", episode_id=f"bad{number}")
        episodes.append(EpisodeResult(episode_id=f"bad{number}", failure=failure))
    result = ExtractionResult(job_id=job_id, project="acme", status=JobStatus.PARTIAL, episodes=episodes)
    return Ending(result=result, replays=replays)


def attempt(job_id: str, *, call: str = "c1", version: int | None = 3, connection: str = "primary") -> AttemptRecord:
    return record(
        "provider_unavailable",
        id=call,
        job_id=job_id,
        connection=connection,
        credential_version=version,
        action="fail",
        usage=TokenUsage(input=10),
        cost_usd=None,
        started_at=START + timedelta(seconds=len(call)),
    )
