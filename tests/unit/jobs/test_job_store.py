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
from workers.engine.routing import Hop, Route
from workers.jobs import (
    Busy,
    Claimed,
    Dropped,
    Ended,
    Ending,
    HandedOver,
    JobStore,
    Kept,
    MemoryJobs,
    RedisJobs,
    Reopening,
    end_now,
    reopen_now,
)
from workers.jobs.redis import job_key, lease_key


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
    assert await subject.jobs.renew([("other", "a"), ("j", "a")], lease=100) == [("j", "a")]
    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert claim.seconds > 15

    assert await subject.jobs.renew([("j", "b")], lease=500) == []
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

    assert claim == Claimed(
        units={2: '{"extracted":{}}'},
        attempts=(record("c1", seconds=1), record("c2", seconds=5)),
        dropped=(Dropped(owner="a", since=START),),
    )


async def test_a_delivery_that_never_laid_the_job_down_is_told_of_until_it_is_written_off(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    await subject.lapse()

    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert isinstance(claim, Claimed)
    assert [one.owner for one in claim.dropped] == ["a", "b"]
    await subject.jobs.release("j", owner="a")
    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert isinstance(claim, Claimed)
    assert [one.owner for one in claim.dropped] == ["b"]


async def test_a_job_that_is_given_back_with_a_call_under_way_is_free_and_the_delivery_told_of(
    subject: Subject,
) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.release("j", owner="a", dropped=True)

    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    assert claim == Claimed(dropped=(Dropped(owner="a", since=START),))


@pytest.mark.parametrize("how", ["released", "handed over"])
async def test_a_delivery_that_laid_the_job_down_is_not_told_of(subject: Subject, how: str) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    if how == "released":
        await subject.jobs.release("j", owner="a")
    else:
        await subject.jobs.hand_over("j", owner="a", route=route(2))

    assert await subject.jobs.claim("j", hop=2, owner="b", lease=15) == Claimed()


async def test_that_a_job_is_to_wait_for_no_batch_shows_to_every_later_delivery(subject: Subject) -> None:
    await subject.jobs.mark_batched("j", kept=60)
    await subject.jobs.mark_batched("j", kept=60)

    first = await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.release("j", owner="a")

    assert first == Claimed(batched=True)
    assert await subject.jobs.claim("j", hop=2, owner="b", lease=15) == Claimed(batched=True)
    assert await subject.jobs.claim("other", hop=1, owner="a", lease=15) == Claimed()


async def test_a_call_is_counted_once_and_whoever_wrote_what_stands_hears_so_as_often_as_it_asks(
    subject: Subject,
) -> None:
    assert await subject.jobs.settle(record("c1")) is True
    assert await subject.jobs.settle(record("c1", seconds=1)) is False
    assert await subject.jobs.settle(record("c2")) is True
    # As when the answer to the first time was lost.
    assert await subject.jobs.settle(record("c1")) is True

    assert (await subject.jobs.kept("j")).attempts == (record("c1"), record("c2"))


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
    assert await subject.jobs.end("j", owner="a", ending=success()) == Ended(ending=success())

    late = Ending(failure=Failure(code=FailureCode.INTERNAL, message="late"))
    assert await subject.jobs.end("j", owner="b", ending=late) == Ended(ending=success())
    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())
    assert await subject.jobs.claim("j", hop=2, owner="c", lease=15) == Ended(ending=success())


async def test_who_ends_a_job_hears_who_else_has_it_in_hand(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    ended = await subject.jobs.end("j", owner="a", ending=success())

    assert ended.ending == success()
    assert [other.owner for other in ended.dropped] == ["b"]
    # As when the answer to the first time was lost.
    assert await subject.jobs.end("j", owner="a", ending=success()) == ended
    # Told once: the other one is told that it is over, and lays it down.
    assert await subject.jobs.end("j", owner="b", ending=failure()) == Ended(ending=success())
    assert await subject.jobs.end("j", owner="a", ending=success()) == Ended(ending=success())


async def test_who_hands_a_job_over_hears_who_else_has_it_in_hand(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    assert [other.owner for other in await subject.jobs.hand_over("j", owner="a", route=route(2))] == ["b"]
    assert await subject.jobs.hand_over("j", owner="b", route=route(2)) == ()


async def test_what_comes_after_the_end_is_not_kept(subject: Subject) -> None:
    await subject.jobs.end("j", owner="a", ending=success())
    await subject.jobs.keep("j", unit=1, outcome="{}")

    assert (await subject.jobs.kept("j")).units == {}


async def test_an_ended_job_is_not_handed_over(subject: Subject) -> None:
    await subject.jobs.end("j", owner="a", ending=success())
    await subject.jobs.hand_over("j", owner="b", route=route(2))

    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())


async def test_everything_kept_in_redis_has_a_lifetime() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        await jobs.claim("i", hop=1, owner="a", lease=15)
        await jobs.claim("j", hop=1, owner="a", lease=15)
        await jobs.keep("j", unit=1, outcome="{}")
        await jobs.settle(record())
        await jobs.hand_over("k", owner="a", route=route(2))
        await jobs.end("l", owner="a", ending=success("l"))

        without = [key async for key in client.scan_iter() if await client.ttl(key) < 0]

        assert without == [b"byom:usage:records"]


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


async def test_of_a_job_that_ended_without_success_all_is_kept(subject: Subject) -> None:
    assert await ended(subject, failure()) == Kept(units={1: "{}"}, attempts=(record(),))


async def test_of_a_job_that_is_done_its_ending_is_kept_and_that_its_calls_were_counted(subject: Subject) -> None:
    assert await ended(subject, success()) == Kept()
    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())
    assert not await subject.jobs.settle(record())


async def test_a_job_of_very_many_parts_and_calls_comes_to_its_end(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    for number in range(501):
        await subject.jobs.keep("j", unit=number, outcome="{}")
        await subject.jobs.settle(record(f"c{number}"))

    await subject.jobs.end("j", owner="a", ending=success())

    assert await subject.jobs.kept("j") == Kept()
    assert not await subject.jobs.settle(record("c500"))


async def test_attempts_stay_where_another_delivery_has_the_job_in_hand_that_is_done(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    await subject.jobs.settle(record())

    ended = await subject.jobs.end("j", owner="b", ending=success())

    assert [one.owner for one in ended.dropped] == ["a"]
    assert (await subject.jobs.kept("j")).attempts == (record(),)


async def test_a_reopened_job_begins_with_its_first_connection_and_with_all_that_is_paid_for(subject: Subject) -> None:
    kept = await ended(subject, failure())

    assert await subject.jobs.reopen("j", kept, ttl=60) is Reopening.OPENED

    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert claim == Claimed(units={1: "{}"}, attempts=(record(),), replays=1)


async def test_a_job_that_is_forgotten_is_reopened_with_what_was_kept_elsewhere(subject: Subject) -> None:
    kept = Kept(units={1: "{}"}, attempts=(record(),))

    assert await subject.jobs.reopen("j", kept, ttl=60) is Reopening.OPENED

    assert await subject.jobs.settle(record(seconds=1)) is False
    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert claim == Claimed(units=kept.units, attempts=kept.attempts, replays=1)


async def test_reopening_twice_changes_nothing_more(subject: Subject) -> None:
    kept = await ended(subject, failure())

    assert await subject.jobs.reopen("j", kept, ttl=60) is Reopening.OPENED
    assert await subject.jobs.reopen("j", kept, ttl=60) is Reopening.OPEN

    assert (await subject.jobs.kept("j")).replays == 1


async def test_a_replay_that_has_been_is_not_made_again(subject: Subject) -> None:
    kept = await ended(subject, failure())
    await subject.jobs.reopen("j", kept, ttl=60)
    again = failure().model_copy(update={"replays": 1})
    await subject.jobs.end("j", owner="c", ending=again)

    assert await subject.jobs.reopen("j", kept, ttl=60) is Reopening.ENDED
    assert await subject.jobs.claim("j", hop=1, owner="d", lease=15) == Ended(ending=again)

    assert await subject.jobs.reopen("j", await subject.jobs.kept("j"), ttl=60) is Reopening.OPENED
    assert (await subject.jobs.kept("j")).replays == 2


async def test_a_job_that_succeeded_is_never_reopened(subject: Subject) -> None:
    await ended(subject, success())

    assert await subject.jobs.reopen("j", Kept(), ttl=60) is Reopening.SUCCEEDED
    assert await subject.jobs.claim("j", hop=1, owner="d", lease=15) == Ended(ending=success())


async def test_a_job_that_was_done_in_part_can_be_reopened(subject: Subject) -> None:
    partial = Ending(result=ExtractionResult(job_id="j", project="acme", status=JobStatus.PARTIAL))

    assert await subject.jobs.reopen("j", await ended(subject, partial), ttl=60) is Reopening.OPENED


async def test_a_reopened_job_is_kept_as_long_as_it_is_told_to_be() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=60, records_kept=10)
        await jobs.reopen("j", Kept(), ttl=3_600)

        assert 60 < await client.ttl(job_key("j")) <= 3_600


@pytest.mark.parametrize(
    ("wait", "kept"), [(86_400, 86_400 + 3_600), (1_900.5, 1_901 + 3_600), (1_800, 3_600), (5, 3_600)]
)
async def test_what_a_job_has_finished_outlasts_its_wait(wait: float, kept: int) -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        jobs = RedisJobs(client, state_ttl=3_600, records_kept=10)
        await jobs.claim("j", hop=1, owner="a", lease=15)
        await jobs.keep("j", unit=0, outcome="{}")

        await jobs.outlast("j", wait=wait)

        assert kept - 60 < await client.ttl(job_key("j")) <= kept
        await jobs.claim("j", hop=1, owner="b", lease=15)


def test_commands_reopen_as_workers_do() -> None:
    client = fakeredis.FakeRedis()
    end_now(client, "j", failure(), state_ttl=60)

    assert reopen_now(client, "j", Kept(attempts=(record(),)), ttl=60) is Reopening.OPENED
    assert reopen_now(client, "j", Kept(), ttl=60) is Reopening.OPEN
    assert client.hget(job_key("j"), "attempt:c1")
