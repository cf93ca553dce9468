"""What a meter learns: how long answers are, what the vendor's limits really are, and when to leave it alone."""

import pytest

from tasks.contract import FailureCode, TokenUsage
from tests.unit.admission.conftest import Subject, about, demand, limited, used
from workers.admission import Demand, MeterState, Observation, Reason, Refusal
from workers.providers.rate_limits import Allowance, RateLimits

PLENTY = limited()
APART = limited(output_tpm_capacity=8_000, output_tpm_refill_per_second=100)
CALL = Demand(input_tokens=1_000, max_output_tokens=3_000)
#: A vendor's refusal for the rate.
LIMITED = Observation(usage=TokenUsage(), rate_limited=True, code=FailureCode.RATE_LIMITED)


def said(limit: int | None = None, remaining: int | None = None) -> Allowance:
    return Allowance(limit=limit, remaining=remaining)


async def taken(subject: Subject, wanted: Demand = CALL) -> int:
    """What the next call would set aside."""
    lease = await subject.lease(PLENTY, wanted)
    reserved = (await subject.read(PLENTY)).reserved_tokens
    await lease.refund()
    return reserved


async def answers(subject: Subject, *observations: Observation) -> None:
    for observation in observations:
        await (await subject.lease(PLENTY, CALL)).settle(observation)


async def refused(subject: Subject, observation: Observation = LIMITED) -> MeterState:
    await (await subject.lease(PLENTY, CALL)).settle(observation)
    return await subject.read(PLENTY)


def per_minute(state: MeterState) -> float:
    assert state.tokens is not None
    return state.tokens.learned_per_minute


async def test_until_answers_are_known_their_cap_is_set_aside(subject: Subject) -> None:
    assert await taken(subject) == 4_000
    await answers(subject, *[used(1_000, 200)] * 4)
    assert await taken(subject) == 4_000

    await answers(subject, used(1_000, 200))

    assert await taken(subject) < 1_000 + 350


async def test_a_fetch_that_knows_no_cap_sets_a_thousand_aside(subject: Subject) -> None:
    assert await taken(subject, Demand(input_tokens=500, max_output_tokens=0)) == 1_500


async def test_the_average_and_its_deviation_settle_on_what_answers_take(subject: Subject) -> None:
    for output in (200, 400) * 60:
        await answers(subject, used(1_000, output))
        subject.clock.seconds += 1

    state = await subject.read(PLENTY)
    assert state.answers == 120
    assert state.average_output == pytest.approx(300, rel=0.03)
    assert state.output_deviation == pytest.approx(100, rel=0.1)
    assert await taken(subject) == pytest.approx(1_000 + 300 + 2 * 100, rel=0.03)


async def test_the_cap_bounds_what_is_set_aside(subject: Subject) -> None:
    await answers(subject, *[used(1_000, 2_500)] * 6)

    assert await taken(subject, Demand(input_tokens=1_000, max_output_tokens=50)) == 1_050


async def test_input_is_corrected_by_what_the_vendor_counts(subject: Subject) -> None:
    await answers(subject, *[used(700, 1)] * 100)

    state = await subject.read(PLENTY)
    assert state.input_ratio == pytest.approx(0.7, rel=0.01)
    assert await taken(subject, Demand(input_tokens=1_000, max_output_tokens=1)) == pytest.approx(701, abs=10)


async def test_how_far_estimates_are_off_is_told(subject: Subject) -> None:
    await answers(subject, *[used(1_000, 1_000)] * 3)

    # 4,000 were set aside and 2,000 used.
    assert (await subject.read(PLENTY)).estimate_error == pytest.approx(1)


async def test_refusals_and_faults_teach_nothing_about_answers(subject: Subject) -> None:
    await answers(subject, used(0), Observation(), Observation(counted=False))

    state = await subject.read(PLENTY)
    assert (state.answers, state.average_output, state.input_ratio) == (0, None, 1.0)


async def test_some_room_stays_for_an_answer_far_longer_than_others(subject: Subject) -> None:
    await answers(subject, *[used(0, output) for output in (100, 300) * 20])
    small = limited(tpm=10_000, refill=0.001)
    while not isinstance(await subject.admission.admit(small, CALL), Refusal):
        pass

    assert 990 <= await subject.level(small) < 990 + 1_500


async def test_a_refusal_for_the_rate_stops_all_until_the_vendor_allows(subject: Subject) -> None:
    await refused(subject, Observation(usage=TokenUsage(), rate_limited=True, retry_after=7))

    assert await subject.refusal(PLENTY, demand(0)) == Refusal(reason=Reason.RETRY_AFTER, wait=about(7))
    state = await subject.read(PLENTY)
    assert state.blocked_by is Reason.RETRY_AFTER
    subject.clock.seconds += 7
    await subject.lease(PLENTY, demand(0))


async def test_without_a_word_of_when_all_wait_a_second(subject: Subject) -> None:
    await refused(subject)

    assert (await subject.refusal(PLENTY, demand(0))).wait == pytest.approx(1)


async def test_a_vendor_that_is_overloaded_is_left_alone_as_long_as_it_asks(subject: Subject) -> None:
    await answers(subject, Observation(usage=TokenUsage(), retry_after=30))

    assert await subject.refusal(PLENTY, demand(0)) == Refusal(reason=Reason.RETRY_AFTER, wait=about(30))
    assert per_minute(await subject.read(PLENTY)) == 90_000


async def test_a_shorter_wait_does_not_shorten_a_longer_one(subject: Subject) -> None:
    first, second = await subject.lease(PLENTY, CALL), await subject.lease(PLENTY, CALL)
    await first.settle(Observation(usage=TokenUsage(), rate_limited=True, retry_after=20))
    await second.settle(Observation(usage=TokenUsage(), rate_limited=True, retry_after=2))

    assert (await subject.refusal(PLENTY, demand(0))).wait == pytest.approx(20)


async def test_a_refusal_empties_the_bucket_and_lowers_the_refill(subject: Subject) -> None:
    state = await refused(subject)

    assert per_minute(state) == pytest.approx(90_000 * 0.7)
    assert state.tokens is not None
    assert state.tokens.level == 0
    assert state.tokens.per_minute == 90_000


async def test_a_burst_of_refusals_counts_once(subject: Subject) -> None:
    leases = [await subject.lease(PLENTY, CALL) for _ in range(10)]
    for lease in leases:
        await lease.settle(LIMITED)
    assert per_minute(await subject.read(PLENTY)) == pytest.approx(90_000 * 0.7)


async def test_a_call_that_was_under_way_at_the_last_cut_does_not_cut_again(subject: Subject) -> None:
    early, slow = await subject.lease(PLENTY, CALL), await subject.lease(PLENTY, CALL)
    subject.clock.seconds += 1
    await early.settle(LIMITED)
    subject.clock.seconds += 30
    await slow.settle(LIMITED)

    assert per_minute(await subject.read(PLENTY)) == pytest.approx(90_000 * (0.7 + 30 * 0.005))


async def test_further_refusals_lower_it_further(subject: Subject) -> None:
    await refused(subject)
    subject.clock.seconds += 5

    state = await refused(subject)

    assert per_minute(state) == pytest.approx(90_000 * (0.7 + 5 * 0.005) * 0.7)


async def test_the_learned_ceiling_grows_back_to_the_declared_and_no_further(subject: Subject) -> None:
    await refused(subject)
    subject.clock.seconds += 10
    assert per_minute(await subject.read(PLENTY)) == pytest.approx(90_000 * 0.75)

    subject.clock.seconds += 1_000

    assert per_minute(await subject.read(PLENTY)) == 90_000


async def test_the_wait_is_exact_while_the_ceiling_grows_too(subject: Subject) -> None:
    await refused(subject)
    subject.clock.seconds += 1
    for tokens in (9_999, 84_999):
        wait = (await subject.refusal(PLENTY, demand(tokens))).wait
        subject.clock.seconds += wait - 0.01
        assert (await subject.refusal(PLENTY, demand(tokens))).wait == pytest.approx(0.01, abs=1e-4)
        subject.clock.seconds += 0.01
        await subject.lease(PLENTY, demand(tokens))


async def test_a_lower_ceiling_in_the_vendors_headers_holds_for_all(subject: Subject) -> None:
    await answers(subject, used(1, 1, limits=RateLimits(tokens=said(limit=30_000), requests=said(limit=60))))

    state = await subject.read(PLENTY)
    assert state.tokens is not None
    assert (state.tokens.learned_per_minute, state.tokens.learned_capacity) == (30_000, 29_700)
    assert (state.tokens.per_minute, state.tokens.capacity) == (90_000, 90_000)
    # No requests are declared: what is not limited stays so.
    assert state.requests is None


async def test_a_higher_ceiling_never_raises_what_is_declared(subject: Subject) -> None:
    await answers(subject, used(1, 1, limits=RateLimits(tokens=said(limit=30_000))))
    await answers(subject, used(1, 1, limits=RateLimits(tokens=said(limit=3_000_000))))

    state = await subject.read(PLENTY)
    assert state.tokens is not None
    assert (state.tokens.learned_per_minute, state.tokens.learned_capacity) == (90_000, 89_100)


async def test_what_the_vendor_has_left_lowers_the_level_and_never_raises_it(subject: Subject) -> None:
    await answers(subject, used(1_000, 0, limits=RateLimits(tokens=said(remaining=20_000))))
    assert await subject.level(PLENTY) == 20_000

    await answers(subject, used(1_000, 0, limits=RateLimits(tokens=said(remaining=80_000))))
    assert await subject.level(PLENTY) == 19_000


async def test_what_was_left_when_a_call_came_has_refilled_since(subject: Subject) -> None:
    lease = await subject.lease(PLENTY, demand(999))
    subject.clock.seconds += 2

    await lease.settle(used(1_000, 0, limits=RateLimits(tokens=said(remaining=20_000))))

    assert await subject.level(PLENTY) == 23_000


async def test_input_and_output_have_their_own_ceilings_where_they_are_metered_apart(subject: Subject) -> None:
    limits = RateLimits(
        tokens=said(limit=5), input_tokens=said(limit=40_000, remaining=1_000), output_tokens=said(limit=6_000)
    )
    await (await subject.lease(APART, CALL)).settle(used(1, 1, limits=limits))

    state = await subject.read(APART)
    assert state.tokens is not None
    assert state.output_tokens is not None
    assert (state.tokens.learned_per_minute, state.output_tokens.learned_per_minute) == (40_000, 6_000)
    assert state.tokens.level == 1_000


async def test_two_pools_of_the_vendor_bound_the_one_of_the_meter_together(subject: Subject) -> None:
    limits = RateLimits(
        tokens=said(limit=5), input_tokens=said(limit=40_000, remaining=1), output_tokens=said(limit=8_000, remaining=1)
    )
    await answers(subject, used(1, 1, limits=limits))

    state = await subject.read(PLENTY)
    assert state.tokens is not None
    assert state.tokens.learned_per_minute == 48_000
    assert state.tokens.level > 1


async def test_what_someone_holds_back_nobody_calls_until_it_is_let_go(subject: Subject) -> None:
    await subject.admission.hold_back(
        PLENTY, reason=Reason.CREDENTIAL, seconds=300, code=FailureCode.CREDENTIAL_REJECTED
    )
    await subject.admission.hold_back(PLENTY, reason=Reason.RETRY_AFTER, seconds=9, code=FailureCode.RATE_LIMITED)

    assert await subject.refusal(PLENTY, demand(0)) == Refusal(
        reason=Reason.CREDENTIAL, wait=about(300), code=FailureCode.CREDENTIAL_REJECTED
    )
    state = await subject.read(PLENTY)
    assert (state.blocked_by, state.blocked_code) == (Reason.CREDENTIAL, FailureCode.CREDENTIAL_REJECTED)
    await subject.admission.let_go(PLENTY, reason=Reason.CREDENTIAL)
    assert (await subject.refusal(PLENTY, demand(0))).reason is Reason.RETRY_AFTER
    subject.clock.seconds += 9
    await subject.lease(PLENTY, demand(0))


async def test_holding_back_again_replaces_what_was_said(subject: Subject) -> None:
    for seconds in (300, 10):
        await subject.admission.hold_back(
            PLENTY, reason=Reason.CREDENTIAL, seconds=seconds, code=FailureCode.CREDENTIAL_EXPIRED
        )

    assert (await subject.refusal(PLENTY, demand(0))).wait == pytest.approx(10)


async def test_a_reset_forgets_what_was_learned_but_not_what_was_taken(subject: Subject) -> None:
    await answers(subject, *[used(1_000, 200)] * 9)
    await subject.lease(PLENTY, demand(499))
    await subject.admission.hold_back(PLENTY, reason=Reason.CREDENTIAL, seconds=9, code=FailureCode.CREDENTIAL_EXPIRED)
    before = await subject.level(PLENTY)

    subject.meters.reset(PLENTY)

    state = await subject.read(PLENTY)
    assert (state.answers, state.blocked_by, state.in_flight) == (0, None, 1)
    assert await subject.level(PLENTY) == before


async def test_after_a_clock_that_was_far_ahead_a_reset_makes_the_meter_go_on(subject: Subject) -> None:
    effective = limited(tpm=1_000, refill=10)
    subject.clock.seconds = 100_000
    await subject.lease(effective, demand(989))
    subject.clock.seconds = 10

    subject.meters.reset(effective)

    subject.clock.seconds = 20
    assert await subject.level(effective) == 100
