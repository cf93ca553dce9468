"""One suite for all job stores: what the Lua does, the memory twin must do, and the other way round."""

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
from workers.jobs import Busy, Claimed, Ended, Ending, HandedOver, JobStore, MemoryJobs, RedisJobs
from workers.jobs.redis import lease_key
from workers.routing import Hop, Route


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

        yield Subject(jobs=RedisJobs(client, state_ttl=3_600, records_kept=10), lapse=expire)


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


async def test_a_new_job_is_claimed_with_nothing_done(subject: Subject) -> None:
    assert await subject.jobs.claim("j", hop=1, owner="a", lease=15) == Claimed()


async def test_a_claimed_job_is_busy_for_others_until_its_lease_lapses(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert 0 < claim.seconds <= 15

    await subject.lapse()
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Claimed)


async def test_a_claim_that_is_sent_twice_holds(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    assert await subject.jobs.claim("j", hop=1, owner="a", lease=15) == Claimed()


async def test_a_released_job_can_be_claimed_and_only_its_owner_releases_it(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    await subject.jobs.release("j", owner="b")
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Busy)

    await subject.jobs.release("j", owner="a")
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Claimed)


async def test_renewing_prolongs_only_leases_that_are_still_the_owners(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.renew([("j", "a"), ("other", "a")], lease=100)
    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert claim.seconds > 15

    await subject.jobs.renew([("j", "b")], lease=500)
    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert claim.seconds <= 100


async def test_the_next_holder_finds_finished_units_and_settled_attempts(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.keep("j", unit=2, outcome='{"extracted":{}}')
    await subject.jobs.keep("j", unit=2, outcome="a later one")
    await subject.jobs.settle(record("c2", seconds=5))
    await subject.jobs.settle(record("c1", seconds=1))
    await subject.lapse()

    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    assert claim == Claimed(units={2: '{"extracted":{}}'}, attempts=(record("c1", seconds=1), record("c2", seconds=5)))


async def test_that_a_job_is_to_wait_for_no_batch_shows_to_every_later_delivery(subject: Subject) -> None:
    await subject.jobs.mark_batched("j", kept=60)
    await subject.jobs.mark_batched("j", kept=60)

    first = await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.release("j", owner="a")

    assert first == Claimed(batched=True)
    assert await subject.jobs.claim("j", hop=2, owner="b", lease=15) == Claimed(batched=True)
    assert await subject.jobs.claim("other", hop=1, owner="a", lease=15) == Claimed()


async def test_a_call_is_counted_once(subject: Subject) -> None:
    assert await subject.jobs.settle(record("c1")) is True
    assert await subject.jobs.settle(record("c1")) is False
    assert await subject.jobs.settle(record("c2")) is True


async def test_a_stale_delivery_learns_where_the_job_went(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.hand_over("j", owner="a", route=route(2))

    assert await subject.jobs.claim("j", hop=1, owner="b", lease=15) == HandedOver(route=route(2))
    assert isinstance(await subject.jobs.claim("j", hop=2, owner="c", lease=15), Claimed)


async def test_a_late_hand_over_does_not_turn_a_job_back(subject: Subject) -> None:
    await subject.jobs.hand_over("j", owner="a", route=route(3))
    await subject.jobs.hand_over("j", owner="b", route=route(2))

    assert await subject.jobs.claim("j", hop=2, owner="c", lease=15) == HandedOver(route=route(3))


async def test_the_first_ending_stands_and_is_returned_to_every_later_delivery(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.keep("j", unit=1, outcome="{}")
    assert await subject.jobs.end("j", owner="a", ending=success()) == success()

    late = Ending(failure=Failure(code=FailureCode.INTERNAL, message="late"))
    assert await subject.jobs.end("j", owner="b", ending=late) == success()
    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())
    assert await subject.jobs.claim("j", hop=2, owner="c", lease=15) == Ended(ending=success())


async def test_an_ended_job_is_not_handed_over(subject: Subject) -> None:
    await subject.jobs.end("j", owner="a", ending=success())
    await subject.jobs.hand_over("j", owner="b", route=route(2))

    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())


async def test_everything_kept_in_redis_has_a_lifetime() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        await jobs.claim("j", hop=1, owner="a", lease=15)
        await jobs.keep("j", unit=1, outcome="{}")
        await jobs.settle(record())
        await jobs.hand_over("k", owner="a", route=route(2))
        await jobs.end("l", owner="a", ending=success("l"))

        without = [key async for key in client.scan_iter() if await client.ttl(key) < 0]

        assert without == [b"byom:usage:records"]
