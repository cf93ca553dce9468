import asyncio

import pytest

from config.errors import StoreError
from tasks.contract import ExtractionResult, JobStatus
from tests.support import START, ManualClock
from workers.engine.leases import LeaseLost, Leases
from workers.jobs import Claimed, Dropped, Ended, Ending, MemoryJobs


class Sleeper:
    """Time passes when somebody sleeps."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.seconds += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_second_delivery_waits_until_the_first_has_ended(clock: ManualClock) -> None:
    jobs = MemoryJobs(clock=clock)
    leases = Leases(jobs, seconds=1_000, clock=clock, sleep=Sleeper(clock))
    ending = Ending(result=ExtractionResult(job_id="j", project="p", status=JobStatus.SUCCEEDED))
    finish = asyncio.Event()

    async def first() -> None:
        async with leases.hold("j", hop=1, owner="a"):
            await finish.wait()
            await jobs.end("j", owner="a", ending=ending)

    working = asyncio.create_task(first())
    await asyncio.sleep(0)

    async def second() -> object:
        async with leases.hold("j", hop=1, owner="b") as claim:
            return claim

    waiting = asyncio.create_task(second())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    finish.set()

    assert await waiting == Ended(ending=ending)
    await working


async def test_a_dead_holders_job_is_taken_over_when_its_lease_runs_out(clock: ManualClock) -> None:
    jobs = MemoryJobs(clock=clock)
    await jobs.claim("j", hop=1, owner="dead", lease=15)
    sleeper = Sleeper(clock)

    async with Leases(jobs, seconds=15, clock=clock, sleep=sleeper).hold("j", hop=1, owner="b") as claim:
        assert claim == Claimed(dropped=(Dropped(owner="dead", since=START),))

    assert sum(sleeper.slept) == pytest.approx(15, abs=1)


async def test_a_lease_is_given_back_when_the_work_fails(clock: ManualClock) -> None:
    jobs = MemoryJobs(clock=clock)
    leases = Leases(jobs, seconds=15, clock=clock, sleep=Sleeper(clock))

    with pytest.raises(RuntimeError):
        async with leases.hold("j", hop=1, owner="a"):
            raise RuntimeError

    claim = await jobs.claim("j", hop=1, owner="b", lease=15)
    assert claim == Claimed(dropped=(Dropped(owner="a", since=START),))


@pytest.mark.parametrize("error", [StoreError("away"), LeaseLost()], ids=lambda error: type(error).__name__)
async def test_a_delivery_that_made_no_call_for_want_of_something_has_left_none_open(
    clock: ManualClock, error: Exception
) -> None:
    jobs = MemoryJobs(clock=clock)
    leases = Leases(jobs, seconds=15, clock=clock, sleep=Sleeper(clock))

    with pytest.raises(type(error)):
        async with leases.hold("j", hop=1, owner="a"):
            raise error

    assert await jobs.claim("j", hop=1, owner="b", lease=15) == Claimed()


async def test_held_leases_are_renewed_for_as_long_as_the_work_takes(clock: ManualClock) -> None:
    jobs = MemoryJobs(clock=clock)
    sleeper = Sleeper(clock)
    leases = Leases(jobs, seconds=15, clock=clock, sleep=sleeper)
    renewal = asyncio.create_task(leases.renew_forever())
    async with leases.hold("j", hop=1, owner="a"):
        for _ in range(200):
            await asyncio.sleep(0)
        assert clock.seconds > 100
        claim = await jobs.claim("j", hop=1, owner="b", lease=15)
        assert not isinstance(claim, Claimed)
    renewal.cancel()


async def test_a_process_that_stood_still_knows_that_its_lease_may_be_gone_until_it_has_a_new_one(
    clock: ManualClock,
) -> None:
    leases = Leases(MemoryJobs(clock=clock), seconds=15, clock=clock, sleep=Sleeper(clock))

    for _ in range(2):
        async with leases.hold("j", hop=1, owner="a"):
            assert leases.holds("j", owner="a")
            assert not leases.holds("j", owner="b")
            clock.seconds += 15
            assert not leases.holds("j", owner="a")
    assert not leases.holds("j", owner="a")


async def test_a_lease_that_was_not_there_to_be_renewed_is_not_held(clock: ManualClock) -> None:
    jobs = MemoryJobs(clock=clock)
    turns = asyncio.Semaphore(0)

    async def sleep(_: float) -> None:
        await turns.acquire()

    async def renewed() -> None:
        turns.release()
        for _ in range(5):
            await asyncio.sleep(0)

    leases = Leases(jobs, seconds=15, clock=clock, sleep=sleep)
    renewal = asyncio.create_task(leases.renew_forever())
    async with leases.hold("j", hop=1, owner="a"), leases.hold("k", hop=1, owner="a"):
        clock.seconds += 14
        await jobs.release("k", owner="a", dropped=True)
        await renewed()
        clock.seconds += 14

        assert leases.holds("j", owner="a")
        assert not leases.holds("k", owner="a")
    renewal.cancel()
