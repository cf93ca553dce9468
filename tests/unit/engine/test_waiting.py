"""What a job waits for in its lane, for how long, and what becomes of it then."""

import pytest
from pydantic import SecretStr

from config.connections import project_path
from config.credentials import save_credential
from tasks.contract import FailureCode, TokenUsage
from tests.support import START
from tests.unit.engine.conftest import FRESH, IMPATIENT, TEXT, USAGE, Bench, failure_of, fault, make_job, reply
from workers.admission import Reason, Refusal
from workers.alerts import AlertKind
from workers.engine.delivery import Delivery
from workers.engine.engine import HandOff, Park
from workers.engine.outcome import TABLE, Waits
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply


def refused(reason: Reason = Reason.TOKENS, wait: float = 12.0, **changes: object) -> Refusal:
    return Refusal(reason=reason, wait=wait, **changes)  # type: ignore[arg-type]  # by name


async def alone(bench: Bench) -> None:
    """Leave project `acme` without a fallback."""
    bench.store.delete("/byom/projects/acme/connections/backup")


async def test_a_job_without_leave_goes_back_to_its_lane_without_a_call(bench: Bench) -> None:
    bench.gate.script.append(refused())

    outcome = await bench.run(delivery=FRESH)

    # Not for the whole twelve seconds: the meter is asked again when the job is fetched.
    assert outcome == Park(reason=Reason.TOKENS, seconds=1)
    assert (bench.called, bench.slept, bench.records) == ([], [], [])


async def test_a_moments_wait_is_spent_in_place(bench: Bench) -> None:
    bench.gate.script += [refused(wait=0.1), refused(wait=0.05)]

    ending = await bench.run(delivery=FRESH)

    assert isinstance(ending, Ending)
    assert bench.slept == [0.1, 0.05]


async def test_many_moments_are_too_long_a_wait(bench: Bench) -> None:
    bench.gate.script += [refused(wait=0.1)] * 3

    outcome = await bench.run(delivery=FRESH)

    assert outcome == Park(reason=Reason.TOKENS, seconds=0.1)
    assert bench.slept == [0.1, 0.1]


@pytest.mark.parametrize("reason", [Reason.TOKENS, Reason.REQUESTS, Reason.CONCURRENCY, Reason.RETRY_AFTER])
async def test_a_job_that_has_waited_long_enough_for_a_limit_falls_back(bench: Bench, reason: Reason) -> None:
    bench.gate.script.append(refused(reason))

    outcome = await bench.run(delivery=Delivery(waited=30))

    assert isinstance(outcome, HandOff)
    assert [(hop.connection, hop.code) for hop in outcome.route.history] == [("primary", FailureCode.RATE_LIMITED)]


async def test_a_job_that_can_wait_does_not_fall_back_over_a_rate_limit(bench: Bench) -> None:
    bench.gate.script += [refused(), refused()]
    job = make_job(priority="backfill")

    waiting = await bench.run(job, delivery=Delivery(waited=3_600))
    at_last = await bench.run(job, delivery=Delivery(waited=86_400))

    assert waiting == Park(reason=Reason.TOKENS, seconds=1)
    assert isinstance(at_last, HandOff)


async def test_a_handed_over_job_knows_its_next_lane(bench: Bench) -> None:
    bench.gate.script.append(refused())

    outcome = await bench.run(delivery=IMPATIENT)

    assert isinstance(outcome, HandOff)
    assert outcome.address is not None
    assert (outcome.address.connection, outcome.address.fallback, outcome.address.patience) == ("backup", False, 600)


async def test_on_its_last_connection_a_job_waits_longer_and_then_fails_typed(bench: Bench) -> None:
    await alone(bench)
    bench.gate.script += [refused(), refused()]

    patient = await bench.run(delivery=Delivery(waited=599.5))
    failure = failure_of(await bench.run(delivery=Delivery(waited=600)))

    # No longer than its patience lasts.
    assert patient == Park(reason=Reason.TOKENS, seconds=0.5)
    assert failure.code is FailureCode.RATE_LIMITED
    assert failure.message.startswith("project 'acme', connection 'primary' (openai, gpt-6-luna): its token limit")


async def test_the_brokers_word_that_a_job_waited_long_enough_holds_whatever_the_clocks_say(bench: Bench) -> None:
    bench.gate.script.append(refused())

    outcome = await bench.run(delivery=Delivery(waited=0, impatient=True))

    assert isinstance(outcome, HandOff)


async def test_an_open_breaker_leads_straight_to_the_fallback(bench: Bench) -> None:
    bench.gate.script.append(refused(Reason.BREAKER, code=FailureCode.PROVIDER_UNAVAILABLE))

    outcome = await bench.run(delivery=FRESH)

    assert isinstance(outcome, HandOff)
    assert bench.called == []


async def test_without_a_fallback_a_job_waits_until_the_breaker_closes(bench: Bench) -> None:
    await alone(bench)
    bench.gate.script.append(refused(Reason.BREAKER, code=FailureCode.PROVIDER_UNAVAILABLE))

    assert await bench.run(delivery=FRESH) == Park(reason=Reason.BREAKER, seconds=1)


@pytest.mark.parametrize("code", [FailureCode.MODEL_NOT_FOUND, FailureCode.PERMISSION_DENIED])
async def test_what_does_not_pass_by_waiting_is_not_waited_for(bench: Bench, code: FailureCode) -> None:
    await alone(bench)
    bench.gate.script.append(refused(Reason.BREAKER, code=code))

    assert failure_of(await bench.run(delivery=FRESH)).code is code


async def test_what_a_trial_call_is_to_tell_is_waited_for(bench: Bench) -> None:
    await alone(bench)
    # The job's first episode is that call; all others have to see what comes of it.
    bench.gate.script += [None, refused(Reason.BREAKER), refused(Reason.BREAKER)]
    job = make_job(TEXT, TEXT, TEXT)

    waiting = await bench.run(job, delivery=FRESH)
    ending = await bench.run(job, delivery=FRESH)

    assert waiting == Park(reason=Reason.BREAKER, seconds=1)
    assert isinstance(ending, Ending)
    assert ending.whole
    assert len(bench.called) == 3


async def test_a_spent_budget_pauses_a_job_however_long_it_has_waited(bench: Bench) -> None:
    bench.gate.script.append(refused(Reason.BUDGET, wait=40_000))

    assert await bench.run(delivery=IMPATIENT) == Park(reason=Reason.BUDGET, seconds=40_000)


async def test_what_is_finished_is_kept_for_as_long_as_the_job_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[str, float]] = []

    async def outlast(job_id: str, *, wait: float) -> None:
        waits.append((job_id, wait))

    monkeypatch.setattr(bench.jobs, "outlast", outlast)
    bench.gate.script.append(refused(Reason.BUDGET, wait=40_000))
    await bench.run(delivery=IMPATIENT)
    bench.model.always["primary"] = fault(FaultKind.PERMISSION_DENIED)
    handed = await bench.run(delivery=IMPATIENT)

    assert isinstance(handed, HandOff)
    assert waits == [("j", 40_000), ("j", 600)]


async def test_where_a_spent_budget_is_to_fail_jobs_it_does_so_under_its_own_name(bench: Bench) -> None:
    await alone(bench)
    bench.gate.script.append(refused(Reason.BUDGET, wait=40_000, final=True))

    assert failure_of(await bench.run(delivery=FRESH)).code is FailureCode.BUDGET_EXCEEDED


async def test_a_long_wait_that_the_vendor_asks_for_is_spent_in_the_lane(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.RATE_LIMITED, retry_after=20))

    outcome = await bench.run(delivery=FRESH)

    assert outcome == Park(reason=Reason.RETRY_AFTER, seconds=20)
    assert bench.called == ["primary"]
    assert [(one.status, one.action) for one in bench.records] == [("rate_limited", "wait")]


@pytest.mark.parametrize("kind", [kind for kind, row in TABLE.items() if row.waits is Waits.WHEN_LAST])
async def test_a_connection_that_may_get_well_is_waited_for_only_where_there_is_no_other(
    bench: Bench, kind: FaultKind
) -> None:
    bench.model.always["primary"] = fault(kind)

    with_fallback = await bench.run(job_id="a", delivery=FRESH)
    await alone(bench)
    bench.directory.drop("/byom/projects/acme", trust=True)
    without = await bench.run(job_id="b", delivery=FRESH)

    assert isinstance(with_fallback, HandOff)
    assert isinstance(without, Park)


async def test_what_is_done_of_a_job_is_not_called_for_again_after_its_wait(bench: Bench) -> None:
    texts = ("Ada moved to Lisbon in May 2026.", "Ada moved to Lisbon in May 2026. Again.")
    bench.gate.script += [None, refused()]

    parked = await bench.run(make_job(*texts), delivery=FRESH)
    ending = await bench.run(make_job(*texts), delivery=Delivery(waited=12))

    assert isinstance(parked, Park)
    assert isinstance(ending, Ending)
    assert bench.called == ["primary", "primary"]


async def test_what_was_set_aside_is_taken_by_the_first_call_alone(bench: Bench) -> None:
    await bench.run(make_job("One thing.", "Another thing."), delivery=Delivery(reservation="r1"))

    asked = [reservation for _, reservation in bench.gate.asked]
    assert len(asked) > 1
    assert [reservation for reservation in asked if reservation] == ["r1"]
    assert bench.gate.released == []


async def test_what_was_set_aside_for_a_job_that_is_refused_leave_is_given_back(bench: Bench) -> None:
    bench.gate.script += [refused(wait=0.1), refused()]

    await bench.run(delivery=Delivery(reservation="r1"))

    assert [reservation for _, reservation in bench.gate.asked] == ["r1", "r1"]
    assert bench.gate.released == ["r1"]


async def test_what_was_set_aside_for_a_job_that_makes_no_call_is_released(bench: Bench) -> None:
    await bench.run(delivery=Delivery(reservation="r1"))

    again = await bench.run(delivery=Delivery(reservation="r2"))

    assert isinstance(again, Ending)
    assert bench.called == ["primary"]
    assert bench.gate.released == ["r2"]


async def test_a_credential_that_is_refused_and_has_no_successor_is_left_alone_by_all(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)

    await bench.run(job_id="a", delivery=FRESH)
    outcome = await bench.run(job_id="b", delivery=FRESH)

    assert isinstance(outcome, HandOff)
    assert bench.called == ["primary"]
    assert bench.gate.held_back == [("primary", Reason.CREDENTIAL, 30.0, FailureCode.CREDENTIAL_REJECTED)]
    (alert,) = bench.alerts.raised
    assert (alert.kind, alert.at, alert.project, alert.credential_version) == (
        AlertKind.CREDENTIAL_REFUSED,
        START.replace(second=1),
        "acme",
        1,
    )
    assert "key-one" not in repr(alert)


async def test_a_connection_without_a_credential_is_left_alone_too_when_its_provider_wants_one(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.MODEL_NOT_FOUND)
    bench.model.always["backup"] = fault(FaultKind.CREDENTIAL_REJECTED)

    ending = await bench.run_to_the_end()

    assert failure_of(ending).code is FailureCode.CREDENTIAL_REJECTED
    assert bench.called == ["primary", "backup"]
    assert bench.gate.held_back == [("backup", Reason.CREDENTIAL, 30.0, FailureCode.CREDENTIAL_REJECTED)]
    # There is no credential to speak of; the call itself was told of.
    assert bench.alerts.raised == []


async def test_a_connection_is_held_back_for_as_long_as_its_credential_is_refused(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)
    held = [("primary", Reason.CREDENTIAL, 30.0, FailureCode.CREDENTIAL_REJECTED)]
    await bench.run(job_id="a", delivery=FRESH)

    for number, seconds in enumerate((1, 14, 1, 1)):
        bench.clock.seconds += seconds
        assert isinstance(await bench.run(job_id=f"b{number}", delivery=FRESH), HandOff)

    assert bench.gate.held_back == held * 2
    assert bench.called == ["primary"]
    assert len(bench.alerts.raised) == 1


async def test_a_successor_of_which_no_notice_came_is_found_while_a_credential_is_refused(bench: Bench) -> None:
    bench.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)
    await bench.run(job_id="a", delivery=FRESH)
    del bench.model.always["primary"]
    save_credential(bench.store, project_path("acme"), "main", SecretStr("key-two"))

    bench.clock.seconds += 16
    await bench.run(job_id="b", delivery=FRESH)

    assert [call.credential and call.credential.version for call in bench.model.calls] == [1, 2]
    assert len(bench.gate.held_back) == 1


async def test_without_a_fallback_a_job_stays_away_from_a_credential_that_was_seen_refused(
    bench: Bench,
) -> None:
    await alone(bench)
    bench.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)

    await bench.run(job_id="a", delivery=FRESH)
    outcome = await bench.run(job_id="b", delivery=FRESH)

    assert outcome == Park(reason=Reason.CREDENTIAL, seconds=15)
    assert bench.called == ["primary"]


async def test_a_successor_that_is_refused_as_well_is_left_alone_too(bench: Bench) -> None:
    def refuses(_: Call) -> Reply | Fault:
        if len(bench.model.calls) == 1:
            save_credential(bench.store, project_path("acme"), "main", SecretStr("key-two"))
        return fault(FaultKind.CREDENTIAL_REJECTED)

    bench.model.always["primary"] = refuses

    await bench.run(delivery=FRESH)

    assert [call.credential and call.credential.version for call in bench.model.calls] == [1, 2]
    assert [alert.credential_version for alert in bench.alerts.raised] == [2]
    assert len(bench.gate.held_back) == 1


async def test_every_call_is_settled_with_what_it_used(bench: Bench) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE), reply())

    await bench.run(delivery=FRESH)

    assert [(one.counted, one.usage) for one in bench.gate.observed] == [(True, TokenUsage()), (True, USAGE)]
