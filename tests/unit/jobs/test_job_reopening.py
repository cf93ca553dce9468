"""A job that ended without success is opened again, with all that is paid for."""

import fakeredis

from tasks.contract import ExtractionResult, JobStatus
from tests.unit.jobs.conftest import Subject, ended, failure, record, success
from workers.jobs import Claimed, Ended, Ending, Kept, Reopening, end_now, reopen_now
from workers.jobs.redis import job_key


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


def test_commands_reopen_as_workers_do() -> None:
    client = fakeredis.FakeRedis()
    end_now(client, "j", failure(), state_ttl=60)

    assert reopen_now(client, "j", Kept(attempts=(record(),)), ttl=60) is Reopening.OPENED
    assert reopen_now(client, "j", Kept(), ttl=60) is Reopening.OPEN
    assert client.hget(job_key("j"), "attempt:c1")
