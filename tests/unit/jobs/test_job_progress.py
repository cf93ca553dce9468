"""What deliveries leave to each other: finished units, counted calls, and that a job is to wait for no batch."""

from tests.support import START
from tests.unit.jobs.conftest import Subject, record
from workers.jobs import Claimed, Dropped


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
