"""How a job ends, once, and what is kept of it then."""

from tasks.contract import Failure, FailureCode
from tests.unit.jobs.conftest import Subject, ended, failure, record, route, success
from workers.jobs import Ended, Ending, Kept


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


async def test_what_comes_after_the_end_is_not_kept(subject: Subject) -> None:
    await subject.jobs.end("j", owner="a", ending=success())
    await subject.jobs.keep("j", unit=1, outcome="{}")

    assert (await subject.jobs.kept("j")).units == {}


async def test_an_ended_job_is_not_handed_over(subject: Subject) -> None:
    await subject.jobs.end("j", owner="a", ending=success())
    await subject.jobs.hand_over("j", owner="b", route=route(2))

    assert await subject.jobs.claim("j", hop=1, owner="c", lease=15) == Ended(ending=success())


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
