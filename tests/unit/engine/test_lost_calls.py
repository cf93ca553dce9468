"""Calls that were under way when their worker died: they are written down as lost, once, and never forgotten."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import structlog
from redis import RedisError
from structlog.testing import LogCapture

from tasks.contract import AttemptRecord, TokenUsage
from tests.support import START
from tests.unit.engine.conftest import FRESH, TEXT, Bench, fault, make_job, reply
from workers.admission import Reason, Refusal
from workers.engine import attempts
from workers.engine.engine import Park
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply


def seen(bench: Bench) -> list[tuple[str, str]]:
    """Attempts of the ledger, in the order in which they were written."""
    return [(record.attempt, record.status) for record in bench.records]


async def die(bench: Bench, owner: str = "dead") -> None:
    """A worker takes the job in hand, and is never heard of again."""
    await bench.jobs.claim("j", hop=1, owner=owner, lease=15)
    bench.clock.seconds += 60


async def test_the_call_of_a_dead_worker_is_in_the_ledger_without_tokens(bench: Bench) -> None:
    await die(bench)

    await bench.run(make_job(TEXT, labels={"user": "u1"}))

    assert seen(bench) == [("1.1.1", "lost"), ("1.1.2", "ok")]
    lost = bench.records[0]
    assert (lost.usage, lost.cost_usd, lost.action, lost.latency_ms) == (TokenUsage(), None, "retry", 0)
    assert (lost.project, lost.account, lost.connection, lost.started_at) == ("acme", "acme-inc", "primary", START)
    assert lost.labels == {"team": "search", "user": "u1"}
    # What the vendor knows by job and attempt is one call.
    assert [call.tags["attempt"] for call in bench.model.calls] == ["1.1.2"]


async def test_whoever_reads_the_log_is_told_of_it_as_the_ledger_has_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(bench)
    # Whatever logger a test before this one has left there.
    log = LogCapture()
    monkeypatch.setattr(attempts, "_log", structlog.wrap_logger(structlog.PrintLogger(), processors=[log]))

    await bench.run()

    told = [line for line in log.entries if line["event"] == "attempt_lost"]
    assert told == [
        {"event": "attempt_lost", "log_level": "warning", **bench.records[0].model_dump(mode="json", exclude_none=True)}
    ]


async def test_it_is_written_down_once_however_often_the_job_is_delivered(bench: Bench) -> None:
    await die(bench)
    await bench.run()
    await bench.run()

    assert seen(bench) == [("1.1.1", "lost"), ("1.1.2", "ok")]


async def test_every_dead_worker_may_have_made_a_call(bench: Bench) -> None:
    await die(bench, "first")
    await die(bench, "second")

    await bench.run()

    assert seen(bench) == [("1.1.1", "lost"), ("1.1.2", "lost"), ("1.1.3", "ok")]
    assert len({record.id for record in bench.records}) == 3


async def test_whoever_writes_it_down_may_die_before_the_dead_worker_is_written_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(bench)
    release = bench.jobs.release

    async def away(job_id: str, *, owner: str, dropped: bool = False) -> None:
        if owner == "dead":
            raise RedisError
        await release(job_id, owner=owner, dropped=dropped)

    monkeypatch.setattr(bench.jobs, "release", away)
    with pytest.raises(RedisError):
        await bench.run()
    monkeypatch.undo()

    await bench.run()

    # Once for the dead one, and once for the one that came after it and broke off.
    assert seen(bench) == [("1.1.1", "lost"), ("1.1.2", "lost"), ("1.1.3", "ok")]


async def test_parts_that_are_done_were_not_being_called(bench: Bench) -> None:
    def crash(_: Call) -> Reply | Fault:
        raise RuntimeError

    bench.model.then("primary", reply(), crash, reply())
    job = make_job(TEXT, "Bea moved to Porto.", "Eve moved to Rome.")
    with pytest.raises(RuntimeError):
        await bench.run(job)
    bench.clock.seconds += 60

    await bench.run(job)

    assert [attempt for attempt, status in seen(bench) if status == "lost"] == ["1.2.1"]


async def settle(bench: Bench, **changes: Any) -> None:
    """The worker settles an attempt of its job before it dies."""
    bench.model.then("other", reply())
    await Bench.run(bench, job_id="template")
    record: AttemptRecord = bench.jobs._jobs.pop("template").attempts.popitem()[1]
    await bench.jobs.settle(record.model_copy(update={"job_id": "j", "id": "settled", **changes}))


@pytest.mark.parametrize(
    ("status", "action", "expected"),
    [
        ("ok", "done", [("1.1.1", "ok"), ("1.1.2", "ok")]),
        ("provider_unavailable", "retry", [("1.1.1", "provider_unavailable"), ("1.1.2", "lost"), ("1.1.3", "ok")]),
        ("output_truncated", "retry_larger", [("1.1.1", "output_truncated"), ("1.1.2", "lost"), ("1.1.3", "ok")]),
        ("provider_unavailable", "wait", [("1.1.1", "provider_unavailable"), ("1.1.2", "ok")]),
    ],
)
async def test_after_a_settled_attempt_only_one_that_follows_at_once_may_be_lost(
    bench: Bench, status: str, action: str, expected: list[tuple[str, str]]
) -> None:
    await bench.jobs.claim("j", hop=1, owner="dead", lease=15)
    await settle(bench, status=status, action=action)
    bench.clock.seconds += 60

    await bench.run()

    assert seen(bench) == expected


async def test_what_an_earlier_delivery_settled_says_nothing_of_a_later_one(bench: Bench) -> None:
    await settle(bench, status="provider_unavailable", action="wait")
    bench.clock.seconds += 60
    await die(bench)

    await bench.run()

    assert seen(bench) == [("1.1.1", "provider_unavailable"), ("1.1.2", "lost"), ("1.1.3", "ok")]


async def test_of_a_long_job_no_more_is_lost_than_is_called_at_once(bench: Bench) -> None:
    await die(bench)

    await bench.run(make_job(*(f"Ada moved {number} times." for number in range(20))))

    assert sum(status == "lost" for _, status in seen(bench)) == 16


async def test_a_job_that_waits_in_its_lane_has_lost_nothing(bench: Bench) -> None:
    bench.gate.script.append(Refusal(reason=Reason.TOKENS, wait=100))
    assert isinstance(await bench.run(delivery=FRESH), Park)

    await bench.run()

    assert seen(bench) == [("1.1.1", "ok")]


async def test_a_fallback_has_not_lost_what_the_primary_gave_up(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.MODEL_NOT_FOUND)

    ending = await bench.run_to_the_end()

    assert ending.result is not None
    assert [status for _, status in seen(bench)] == ["model_not_found", "ok"]


async def test_a_call_that_is_given_up_when_the_worker_stops_is_lost(bench: Bench) -> None:
    calling = asyncio.Event()
    send = bench.model.send

    async def never(*_: Any, **__: Any) -> Any:
        calling.set()
        await asyncio.Event().wait()

    bench.model.send = never  # type: ignore[method-assign]
    running = asyncio.create_task(bench.run())
    await calling.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.model.send = send  # type: ignore[method-assign]

    outcome = await bench.run()

    assert isinstance(outcome, Ending)
    assert seen(bench) == [("1.1.1", "lost"), ("1.1.2", "ok")]


async def test_a_prompt_that_episodes_share_is_lost_once(bench: Bench) -> None:
    await die(bench)

    await bench.run(make_job(*(f"Ada moved {number} times." for number in range(4)), pack_tokens=2_000))

    assert [attempt for attempt, status in seen(bench) if status == "lost"] == ["1.1.1"]
    assert bench.model.calls[0].tags["attempt"] == "1.1.2"


async def test_the_last_attempt_is_that_with_the_last_number_whatever_the_clocks_of_workers_show(bench: Bench) -> None:
    # By a worker that was ten minutes ahead.
    await settle(
        bench, id="ahead", status="provider_unavailable", action="retry", started_at=START + timedelta(minutes=10)
    )
    await bench.jobs.claim("j", hop=1, owner="dead", lease=15)
    await settle(bench, attempt="1.1.2", status="provider_unavailable", action="wait")
    bench.clock.seconds += 60

    await bench.run()

    assert [attempt for attempt, status in seen(bench) if status == "lost"] == []


@pytest.mark.parametrize("settled", [False, True])
async def test_what_another_worker_calls_for_a_job_that_this_one_ends_is_written_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, settled: bool
) -> None:
    """A worker stands still; another one takes its job over, calls, and dies; then the first one ends it."""
    send = bench.model.send

    async def while_it_stands_still(*args: Any, **options: Any) -> Any:
        sent = await send(*args, **options)
        monkeypatch.undo()
        bench.clock.seconds += 60
        await bench.jobs.claim("j", hop=1, owner="other", lease=15)
        # As whoever takes over does, before it calls.
        await settle(bench, id="written-off", attempt="1.1.1", status="lost", action="retry")
        if settled:
            called_at = bench.clock.now()
            await settle(bench, id="theirs", attempt="1.1.2", status="ok", action="done", started_at=called_at)
        return sent

    monkeypatch.setattr(bench.model, "send", while_it_stands_still)

    await bench.run()

    told = sorted(seen(bench))
    assert told == [("1.1.1", "lost"), ("1.1.1", "ok"), ("1.1.2", "ok" if settled else "lost")]
    # Nobody has it in hand any more.
    assert bench.jobs._jobs["j"].hands == {}


async def test_what_another_worker_calls_for_a_job_that_this_one_hands_over_is_the_primarys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = bench.model.send

    async def while_it_stands_still(*args: Any, **options: Any) -> Any:
        sent = await send(*args, **options)
        monkeypatch.undo()
        bench.clock.seconds += 60
        await bench.jobs.claim("j", hop=1, owner="other", lease=15)
        return sent

    monkeypatch.setattr(bench.model, "send", while_it_stands_still)
    bench.model.then("primary", fault(FaultKind.MODEL_NOT_FOUND))

    await bench.run()

    told = [(record.connection, record.attempt, record.status) for record in bench.records]
    assert told[-1] == ("primary", "1.1.1", "lost")
    assert bench.jobs._jobs["j"].hands == {}
