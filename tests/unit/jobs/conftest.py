"""Both job stores: what the Lua does, the memory twin must do, and the other way round."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import fakeredis
import pytest

from tasks.contract import (
    AttemptRecord,
    ExtractionResult,
    Failure,
    FailureCode,
    JobStatus,
    ProviderKind,
    Role,
    TokenUsage,
)
from tests.support import START, ManualClock
from workers.engine.routing import Hop, Route
from workers.jobs import Ending, JobStore, Kept, MemoryJobs, RedisJobs
from workers.jobs.redis import lease_key


@dataclass
class Subject:
    jobs: JobStore
    #: Lets the lease of job `j` run out.
    lapse: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        clock = ManualClock()

        async def advance() -> None:
            clock.seconds += 60

        yield Subject(jobs=MemoryJobs(clock=clock), lapse=advance)
        return
    async with fakeredis.FakeAsyncRedis() as client:

        async def expire() -> None:
            assert await client.delete(lease_key("j")) == 1

        yield Subject(jobs=RedisJobs(client, state_ttl=3_600, records_kept=10, clock=ManualClock()), lapse=expire)


def record(call: str = "c1", *, seconds: int = 0) -> AttemptRecord:
    return AttemptRecord(
        id=call,
        attempt="1.1.1",
        job_id="j",
        project="acme",
        provider=ProviderKind.OPENAI,
        connection="primary",
        role=Role.PRIMARY,
        model="m",
        status="ok",
        action="done",
        usage=TokenUsage(input=10, output=5),
        cost_usd="0.0001",
        latency_ms=7,
        started_at=START + timedelta(seconds=seconds),
    )


def route(hop: int) -> Route:
    gone = Hop(connection="c", provider=ProviderKind.OPENAI, model="m", code=FailureCode.PROVIDER_UNAVAILABLE)
    return Route(
        connection="backup",
        provider=ProviderKind.OPENAI_COMPATIBLE,
        model="m2",
        role=Role.FALLBACK,
        history=(gone,) * (hop - 1),
    )


def success(job_id: str = "j") -> Ending:
    return Ending(result=ExtractionResult(job_id=job_id, project="acme", status=JobStatus.SUCCEEDED))


def failure() -> Ending:
    return Ending(failure=Failure(code=FailureCode.PROVIDER_UNAVAILABLE, message="down"))


async def ended(subject: Subject, ending: Ending) -> Kept:
    """Job `j` ended, after one unit and one attempt; what is kept of it."""
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.keep("j", unit=1, outcome="{}")
    await subject.jobs.settle(record())
    await subject.jobs.hand_over("j", owner="a", route=route(2))
    await subject.jobs.claim("j", hop=2, owner="b", lease=15)
    await subject.jobs.end("j", owner="b", ending=ending)
    return await subject.jobs.kept("j")
