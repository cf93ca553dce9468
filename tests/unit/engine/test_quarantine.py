"""Jobs of which workers die: how they end, and that what has ended or gone on is let be."""

from tasks.contract import FailureCode
from tests.unit.engine.conftest import TEXT, Bench, failure_of, fault, make_job, reply
from workers.engine.engine import HandOff
from workers.engine.routing import first_route
from workers.jobs import Ending, Kept
from workers.providers.base import FaultKind


async def quarantine(bench: Bench) -> object:
    route = first_route(await bench.directory.chain("acme"))
    return await bench.engine.quarantine(make_job(), job_id="j", route=route, crashes=3)


async def test_it_ends_failed_with_what_was_tried_before_and_is_told(bench: Bench) -> None:
    told: list[Ending] = []

    async def ended(_job: object, _job_id: str, ending: Ending) -> None:
        told.append(ending)

    bench.engine._ended = ended
    bench.model.always["primary"] = fault(FaultKind.TIMEOUT)
    route = first_route(await bench.directory.chain("acme"))
    await bench.engine.run(make_job(), job_id="other", route=route)
    await bench.jobs.settle(bench.records[0].model_copy(update={"job_id": "j"}))

    outcome = await quarantine(bench)

    assert isinstance(outcome, Ending)
    failure = failure_of(outcome)
    assert (failure.code, failure.project, failure.connection) == (FailureCode.QUARANTINED, "acme", "primary")
    assert "3 processes died" in failure.message
    assert [attempt.attempt for attempt in failure.attempts] == ["1.1.1"]
    assert told == [outcome]
    assert outcome == await bench.run()


async def test_the_calls_of_those_that_died_are_written_down(bench: Bench) -> None:
    for owner in ("first", "second"):
        await bench.jobs.claim("j", hop=1, owner=owner, lease=15)
        bench.clock.seconds += 60

    outcome = await quarantine(bench)

    assert isinstance(outcome, Ending)
    expected = [("1.1.1", "lost"), ("1.1.2", "lost")]
    assert [(one.attempt, one.status) for one in bench.records] == expected
    assert [(one.attempt, one.status) for one in failure_of(outcome).attempts] == expected


async def test_one_that_has_ended_keeps_its_ending(bench: Bench) -> None:
    ending = await bench.run()

    assert await quarantine(bench) == ending


async def test_one_that_has_gone_on_goes_on(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.PERMISSION_DENIED)
    onward = await bench.run()

    assert isinstance(onward, HandOff)
    assert await quarantine(bench) == onward


async def test_one_that_was_replayed_says_so(bench: Bench) -> None:
    await quarantine(bench)
    await bench.jobs.reopen("j", await bench.jobs.kept("j"), ttl=60)

    outcome = await quarantine(bench)

    assert isinstance(outcome, Ending)
    assert outcome.replays == 1


async def test_the_ending_of_a_replay_says_so_whether_its_message_or_the_store_knows(bench: Bench) -> None:
    await bench.jobs.reopen("j", Kept(), ttl=60)
    by_store = await bench.run()
    route = first_route(await bench.directory.chain("acme")).model_copy(update={"replays": 2})
    by_message = await bench.run(job_id="k", route=route)

    assert isinstance(by_store, Ending)
    assert isinstance(by_message, Ending)
    assert (by_store.replays, by_message.replays) == (1, 2)


async def test_of_a_job_done_in_part_all_that_is_paid_for_is_kept_for_a_replay(bench: Bench) -> None:
    bench.store.delete("/byom/projects/acme/connections/backup")
    bench.model.then("primary", fault(FaultKind.CONTEXT_TOO_LONG), reply())

    ending = await bench.run(make_job("too long for it", TEXT))

    assert isinstance(ending, Ending)
    assert not ending.whole
    assert list((await bench.jobs.kept("j")).units) == [2]


async def test_a_replay_stays_one_on_its_way_to_the_fallback(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.PERMISSION_DENIED)
    route = first_route(await bench.directory.chain("acme")).model_copy(update={"replays": 2})

    outcome = await bench.run(route=route)

    assert isinstance(outcome, HandOff)
    assert outcome.route.replays == 2
