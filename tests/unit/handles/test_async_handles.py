"""Awaiting jobs: all that is awaited on one loop is asked for together."""

import asyncio

import pytest
import redis

from tasks.contract import ExtractionFailed
from tests.unit.handles.conftest import Scripted, names
from workers.handles import as_completed_async, wait_async, watch


async def test_a_handle_is_awaited(results: Scripted) -> None:
    results.script = [lambda: None, lambda: results.succeed("a")]

    assert (await results.handles("a")[0]).job_id == "a"


async def test_a_job_that_failed_raises_why(results: Scripted) -> None:
    results.fail("a")

    with pytest.raises(ExtractionFailed, match="it failed"):
        await results.handles("a")[0]


async def test_a_handle_that_has_ended_is_not_asked_for_again(results: Scripted) -> None:
    results.succeed("a")
    [handle] = results.handles("a")
    await handle
    looks = results.looks

    assert (await handle).job_id == "a"
    assert results.looks == looks


async def test_thousands_that_are_awaited_at_once_share_their_looks(results: Scripted) -> None:
    jobs = [f"j{number}" for number in range(1_000)]
    results.script = [lambda: None, lambda: results.succeed(*jobs)]

    found = await asyncio.gather(*results.handles(*jobs))

    assert [result.job_id for result in found] == jobs
    # The first look may have begun before the last was awaited.
    assert results.looks <= 4


async def test_jobs_come_in_the_order_in_which_they_end(results: Scripted) -> None:
    results.script = [lambda: results.succeed("c"), lambda: results.fail("a"), lambda: results.succeed("b")]

    found = [handle.id async for handle in as_completed_async(results.handles("a", "b", "c"), timeout=60)]

    assert found == ["c", "a", "b"]


async def test_running_out_of_time_says_how_many_are_left(results: Scripted) -> None:
    results.succeed("b")
    handles = as_completed_async(results.handles("a", "b"), timeout=2)

    assert (await anext(handles)).id == "b"
    with pytest.raises(TimeoutError, match="1 jobs have not ended after 2 s"):
        await anext(handles)


async def test_waiting_says_what_has_ended_and_what_has_not(results: Scripted) -> None:
    results.succeed("b")
    handles = results.handles("a", "b")

    assert await wait_async(handles, timeout=2) == ([handles[1]], [handles[0]])
    assert await wait_async(handles[1:]) == ([handles[1]], [])


async def test_whoever_gives_up_is_asked_for_no_more(results: Scripted) -> None:
    [patient, impatient] = results.handles("a", "b")
    waiting = asyncio.create_task(wait_async([patient]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await impatient
    # A look that was under way may still have asked.
    for _ in range(2):
        looks = results.looks
        while results.looks == looks:  # noqa: ASYNC110 - nobody tells of a look
            await asyncio.sleep(0.001)
    asked = results.asked["b"]
    results.script = [lambda: results.succeed("a")]

    assert names((await waiting).done) == ["a"]
    assert results.asked["b"] == asked


async def test_an_error_reaches_everybody_who_waits(results: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(watch, "_OUTAGE", 0.0)
    results.script = [away] * 100
    [first, second] = results.handles("a", "b")

    found = await asyncio.gather(first, wait_async([second]), return_exceptions=True)

    assert [type(error) for error in found] == [redis.ConnectionError] * 2


def test_each_event_loop_is_looked_after(results: Scripted) -> None:
    results.succeed("a", "b")
    [first, second] = results.handles("a", "b")

    assert asyncio.run(wait_async([first])).done == [first]
    assert asyncio.run(wait_async([second])).done == [second]
