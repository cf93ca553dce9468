"""What the engine tells of its own accord: each attempt, and each end of a job until it could be told."""

import pytest
import redis

from tasks.contract import ExtractionJob
from tests.unit.engine.conftest import Bench, fault, make_job
from workers.engine.engine import HandOff
from workers.jobs import Ending
from workers.providers.base import FaultKind

Told = list[tuple[str, str, Ending]]


@pytest.fixture
def told(bench: Bench) -> Told:
    ends: Told = []

    async def ended(job: ExtractionJob, job_id: str, ending: Ending) -> None:
        ends.append((job.project, job_id, ending))

    bench.engine._ended = ended
    return ends


async def test_the_end_of_a_job_is_told_with_what_stands(bench: Bench, told: Told) -> None:
    outcome = await bench.run()

    assert told == [("acme", "j", outcome)]


async def test_a_job_that_goes_on_has_not_ended(bench: Bench, told: Told) -> None:
    bench.model.always["primary"] = fault(FaultKind.PERMISSION_DENIED)

    assert isinstance(await bench.run(), HandOff)
    assert told == []


async def test_a_failure_is_told_too(bench: Bench, told: Told) -> None:
    for name in ("primary", "backup"):
        bench.model.always[name] = fault(FaultKind.PERMISSION_DENIED)
    ending = await bench.run_to_the_end()

    assert ending.failure is not None
    assert told == [("acme", "j", ending)]


async def test_an_end_that_could_not_be_told_is_told_by_the_next_delivery_without_a_call(bench: Bench) -> None:
    told: Told = []

    async def away(_job: ExtractionJob, _job_id: str, _ending: Ending) -> None:
        raise redis.ConnectionError

    async def ended(job: ExtractionJob, job_id: str, ending: Ending) -> None:
        told.append((job.project, job_id, ending))

    bench.engine._ended = away
    job = make_job()
    with pytest.raises(redis.ConnectionError):
        await bench.run(job)
    bench.engine._ended = ended
    outcome = await bench.run(job)

    assert told == [("acme", "j", outcome)]
    assert len(bench.called) == 1


async def test_every_attempt_is_told_as_it_is_recorded(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE))
    await bench.run()

    assert bench.alerts.attempts == bench.records
    assert [record.status for record in bench.alerts.attempts] == ["provider_unavailable", "ok"]
