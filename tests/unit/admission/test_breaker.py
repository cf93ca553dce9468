"""When a connection is left alone, how it is tried again, and how it comes back."""

import pytest

from tasks.contract import FailureCode
from tests.unit.admission.conftest import LEASE, Subject, about, demand, limited, used
from workers.admission import BreakerState, Health, Lease, Observation, Reason, Refusal
from workers.alerts import AlertKind

LINE = limited(tpm=100_000, refill=1_000)
DOWN = FailureCode.PROVIDER_UNAVAILABLE
FAILED = used(0, health=Health.FAILING, code=DOWN)
GOOD = used(0)
FATAL = used(0, health=Health.FATAL, code=FailureCode.MODEL_NOT_FOUND)


async def call(subject: Subject, observation: Observation, *, times: int = 1) -> None:
    for _ in range(times):
        await (await subject.lease(LINE, demand(0))).settle(observation)


async def opened(subject: Subject) -> None:
    await call(subject, FAILED, times=5)


async def state(subject: Subject) -> BreakerState:
    return (await subject.read(LINE)).breaker


async def probe(subject: Subject, *, after: float) -> Lease:
    subject.clock.seconds += after
    return await subject.lease(LINE, demand(0))


async def test_five_failures_in_a_minute_open_it(subject: Subject) -> None:
    await call(subject, FAILED, times=4)
    assert await state(subject) is BreakerState.CLOSED

    await call(subject, FAILED)

    assert await subject.refusal(LINE, demand(0)) == Refusal(reason=Reason.BREAKER, wait=about(5), code=DOWN)
    seen = await subject.read(LINE)
    assert (seen.breaker, seen.breaker_code, seen.breaker_since) == (BreakerState.OPEN, DOWN, subject.clock.now())
    assert (seen.blocked_by, seen.blocked_code) == (Reason.BREAKER, DOWN)


async def test_as_many_good_answers_as_failures_keep_it_closed(subject: Subject) -> None:
    for _ in range(20):
        await call(subject, GOOD)
        await call(subject, FAILED)
    assert await state(subject) is BreakerState.CLOSED

    await call(subject, FAILED)

    assert await state(subject) is BreakerState.OPEN


async def test_failures_older_than_a_minute_are_forgotten(subject: Subject) -> None:
    await call(subject, FAILED, times=4)
    subject.clock.seconds += 61

    await call(subject, FAILED, times=4)

    assert await state(subject) is BreakerState.CLOSED


async def test_failures_of_the_last_half_minute_count_with_those_of_this_one(subject: Subject) -> None:
    await call(subject, FAILED, times=4)
    subject.clock.seconds += 30

    await call(subject, FAILED)

    assert await state(subject) is BreakerState.OPEN


async def test_answers_that_say_nothing_of_the_connection_do_not_count(subject: Subject) -> None:
    await call(subject, used(0, health=Health.NONE), times=20)
    assert await state(subject) is BreakerState.CLOSED

    await opened(subject)

    assert await state(subject) is BreakerState.OPEN


async def test_a_fatal_answer_opens_it_at_once_and_for_longer(subject: Subject) -> None:
    await call(subject, GOOD, times=50)

    await call(subject, FATAL)

    assert await subject.refusal(LINE, demand(0)) == Refusal(
        reason=Reason.BREAKER, wait=about(60), code=FailureCode.MODEL_NOT_FOUND
    )


async def test_exactly_one_call_tries_it_again_and_the_others_are_not_told_that_it_failed(subject: Subject) -> None:
    await opened(subject)

    await probe(subject, after=5)

    assert await state(subject) is BreakerState.HALF_OPEN
    assert await subject.refusal(LINE, demand(0)) == Refusal(reason=Reason.BREAKER, wait=0.1)


async def test_an_answer_of_the_probe_closes_it_and_calls_come_back_on_a_ramp(subject: Subject) -> None:
    await opened(subject)
    await (await probe(subject, after=5)).settle(GOOD)

    seen = await subject.read(LINE)
    assert seen.breaker is BreakerState.CLOSED
    assert seen.breaker_code is None
    assert seen.tokens is not None
    assert seen.tokens.learned_per_minute == pytest.approx(0.2 * 60_000)
    assert seen.tokens.level == pytest.approx(0.2 * 99_000)
    subject.clock.seconds += 8
    seen = await subject.read(LINE)
    assert seen.tokens is not None
    assert seen.tokens.learned_per_minute == pytest.approx(0.6 * 60_000)
    subject.clock.seconds += 8
    seen = await subject.read(LINE)
    assert seen.tokens is not None
    assert seen.tokens.learned_per_minute == 60_000


async def test_a_failed_probe_opens_it_for_twice_as_long_up_to_five_minutes(subject: Subject) -> None:
    await opened(subject)
    waits = []
    for _ in range(8):
        wait = (await subject.refusal(LINE, demand(0))).wait
        waits.append(round(wait))
        await (await probe(subject, after=wait)).settle(FAILED)

    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


async def test_opening_again_soon_after_it_closed_is_for_longer_too(subject: Subject) -> None:
    await opened(subject)
    await (await probe(subject, after=5)).settle(GOOD)
    subject.clock.seconds += 59
    await opened(subject)
    assert (await subject.refusal(LINE, demand(0))).wait == pytest.approx(10)

    await (await probe(subject, after=10)).settle(GOOD)
    subject.clock.seconds += 61
    await opened(subject)

    assert (await subject.refusal(LINE, demand(0))).wait == pytest.approx(5)


async def test_a_probe_without_an_answer_makes_way_for_another_when_it_runs_out(subject: Subject) -> None:
    await opened(subject)
    await probe(subject, after=5)
    subject.clock.seconds += LEASE - 0.04
    assert (await subject.refusal(LINE, demand(0))).wait == pytest.approx(0.04)

    await (await probe(subject, after=0.04)).settle(GOOD)

    assert await state(subject) is BreakerState.CLOSED


@pytest.mark.parametrize("observation", [None, used(0, health=Health.NONE)], ids=["given back", "says nothing"])
async def test_a_probe_that_says_nothing_makes_way_for_another(
    subject: Subject, observation: Observation | None
) -> None:
    await opened(subject)
    lease = await probe(subject, after=5)

    await (lease.refund() if observation is None else lease.settle(observation))

    assert await state(subject) is BreakerState.HALF_OPEN
    await (await subject.lease(LINE, demand(0))).settle(GOOD)
    assert await state(subject) is BreakerState.CLOSED


async def test_what_was_under_way_when_it_opened_neither_closes_nor_prolongs_it(subject: Subject) -> None:
    old = [await subject.lease(LINE, demand(0)) for _ in range(4)]
    await opened(subject)
    await old[0].settle(GOOD)
    await old[1].settle(FATAL)
    assert (await subject.refusal(LINE, demand(0))).wait == pytest.approx(5)
    await probe(subject, after=5)
    await old[2].settle(GOOD)
    await old[3].settle(FATAL)

    assert await state(subject) is BreakerState.HALF_OPEN


async def test_a_fetch_may_be_the_probe_and_hands_that_on_to_its_call(subject: Subject) -> None:
    await opened(subject)
    subject.clock.seconds += 5
    name = await subject.set_aside(LINE, tokens=0)
    await subject.refusal(LINE, demand(0))

    lease = await subject.lease(LINE, demand(0), reservation=name)

    await subject.refusal(LINE, demand(0))
    await lease.settle(GOOD)
    assert await state(subject) is BreakerState.CLOSED


async def test_another_tenants_breaker_is_another(subject: Subject) -> None:
    await opened(subject)

    await subject.lease(limited(tpm=100_000, refill=1_000, account="initech"), demand(0))


async def test_operators_are_told_when_it_opens_and_when_it_closes(subject: Subject) -> None:
    await opened(subject)
    await (await probe(subject, after=5)).settle(FAILED)
    await (await probe(subject, after=10)).settle(GOOD)

    assert subject.told() == [AlertKind.BREAKER_OPENED, AlertKind.BREAKER_OPENED, AlertKind.BREAKER_CLOSED]
    alert = subject.alerts.raised[0]
    assert (alert.project, alert.connection, alert.model, alert.code) == ("acme", "primary", "gpt-6-luna", DOWN)
    assert "left alone for 5 s" in alert.message


async def test_who_is_trusted_again_may_call_at_once_whatever_kept_calls_away(subject: Subject) -> None:
    await opened(subject)
    await subject.admission.hold_back(LINE, reason=Reason.CREDENTIAL, seconds=300, code=DOWN)

    subject.meters.trust(LINE)

    assert await state(subject) is BreakerState.CLOSED
    await call(subject, FAILED)
    assert await state(subject) is BreakerState.CLOSED


async def test_trust_ends_a_wait_that_the_provider_asked_for(subject: Subject) -> None:
    await call(subject, Observation(retry_after=90))
    assert (await subject.refusal(LINE, demand(0))).wait == about(90)

    subject.meters.trust(LINE)

    await subject.lease(LINE, demand(0))


async def test_a_breaker_that_was_trusted_opens_again_after_as_many_failures_as_ever(subject: Subject) -> None:
    await opened(subject)
    subject.meters.trust(LINE)

    await call(subject, FAILED, times=4)
    assert await state(subject) is BreakerState.CLOSED
    await call(subject, FAILED)

    assert (await subject.refusal(LINE, demand(0))).wait == about(5)
