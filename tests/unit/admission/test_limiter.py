"""Buckets, leases and waits; what the scripts do, the memory twin does, and the other way round."""

import pytest

from tasks.contract import ProviderKind, TokenUsage
from tests.unit.admission.conftest import FIVE, SIZE, SMALL, Subject, about, demand, limited, used
from workers.admission import Demand, Observation, Reason, Refusal
from workers.admission.meter import Wish


async def test_the_first_call_on_a_fresh_meter_is_never_refused(subject: Subject) -> None:
    await subject.lease(limited(tpm=1, refill=0.001, rpm_capacity=1), demand(1_000_000, output=9_000))


async def test_a_lease_takes_what_it_was_estimated_at_and_settling_corrects_it(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(399))
    assert await subject.level(SMALL) == SIZE - 400

    await lease.settle(used(300, 50))

    assert await subject.level(SMALL) == SIZE - 350


async def test_the_wait_is_exactly_until_it_would_succeed(subject: Subject) -> None:
    await subject.lease(SMALL, demand(899))

    refusal = await subject.refusal(SMALL, demand(289))

    assert refusal == Refusal(reason=Reason.TOKENS, wait=about(20))
    subject.clock.seconds += refusal.wait - 0.001
    assert (await subject.refusal(SMALL, demand(289))).wait == pytest.approx(0.001, abs=1e-5)
    subject.clock.seconds += 0.001
    await subject.lease(SMALL, demand(289))


async def test_a_refusal_takes_nothing(subject: Subject) -> None:
    # Measured of a rival: a refused question for more than there is empties the bucket.
    await subject.lease(SMALL, demand(99))
    before = await subject.read(SMALL)

    await subject.refusal(SMALL, demand(949))

    assert await subject.read(SMALL) == before
    await subject.lease(SMALL, demand(0))


async def test_fractions_of_a_refill_are_kept_however_often_it_is_asked(subject: Subject) -> None:
    # Measured of a rival: polled every 1,999 ms at one a second it grants one, not two.
    effective = limited(tpm=10, refill=1)
    await subject.lease(effective, demand(9))
    assert (await subject.refusal(effective, demand(1))).wait == pytest.approx(2.25)

    subject.clock.seconds += 1.999
    await subject.refusal(effective, demand(1))
    subject.clock.seconds += 1.999

    await subject.lease(effective, demand(1))
    assert await subject.level(effective) == pytest.approx(9.75 - 10 + 3.998 - 2)


async def test_no_window_lets_twice_the_limit_through_at_its_edge(subject: Subject) -> None:
    # Measured of a rival, limit 1,000 per 3 s: 1,999 within 0.9 s across the edge of its window.
    effective = limited(tpm=1_000, refill=1_000 / 3)
    await subject.lease(effective, demand(0))
    admitted = 0
    for instant in (2.2, 2.7, 3.0, 3.1):
        subject.clock.seconds = instant
        while not isinstance(await subject.admission.admit(effective, demand(49)), Refusal):
            admitted += 50

    assert 900 <= admitted <= 1_000 + 0.9 * 1_000 / 3


async def test_a_clock_that_steps_back_stands_still(subject: Subject) -> None:
    subject.clock.seconds = 100
    await subject.lease(SMALL, demand(989))
    subject.clock.seconds = 50
    assert await subject.level(SMALL) == 0
    assert (await subject.refusal(SMALL, demand(99))).wait == pytest.approx(10)
    subject.clock.seconds = 101

    assert await subject.level(SMALL) == 10


async def test_a_demand_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt(subject: Subject) -> None:
    await subject.lease(SMALL, demand(99))
    assert (await subject.refusal(SMALL, demand(4_999))).wait == pytest.approx(10)
    subject.clock.seconds += 10

    lease = await subject.lease(SMALL, demand(4_999))

    assert await subject.level(SMALL) == SIZE - 5_000
    await lease.settle(used(1_989))
    assert await subject.level(SMALL) == SIZE - 1_989
    assert (await subject.refusal(SMALL, demand(0))).wait == pytest.approx(100)


async def test_what_is_given_back_never_fills_a_bucket_beyond_its_size(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(499))
    subject.clock.seconds += 100

    await lease.refund()

    assert await subject.level(SMALL) == SIZE


async def test_an_answer_longer_than_expected_leaves_a_debt(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(899, output=50))

    await lease.settle(used(2_000))

    assert await subject.level(SMALL) == SIZE - 2_000


async def test_a_usage_that_is_not_told_leaves_the_estimate(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(399))

    await lease.settle(Observation())

    assert await subject.level(SMALL) == SIZE - 400
    assert (await subject.read(SMALL)).in_flight == 0


async def test_only_the_first_of_settling_and_refunding_counts(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(399))
    await lease.settle(used(100))
    await lease.settle(used(0))
    await lease.refund()

    assert await subject.level(SMALL) == SIZE - 100


async def test_requests_are_metered_beside_tokens(subject: Subject) -> None:
    # A quarter of a second's refill is never used: the fifth call waits for it.
    for _ in range(4):
        await subject.lease(FIVE, demand(1))

    assert await subject.refusal(FIVE, demand(1)) == Refusal(reason=Reason.REQUESTS, wait=about(0.25))
    subject.clock.seconds += 0.25
    await subject.lease(FIVE, demand(1))


async def test_the_wait_is_the_longest_of_all_that_is_short(subject: Subject) -> None:
    effective = limited(tpm=1_000, refill=10, rpm_capacity=1, rpm_refill_per_second=0.5)
    await subject.lease(effective, demand(989))

    assert await subject.refusal(effective, demand(199)) == Refusal(reason=Reason.REQUESTS, wait=about(20))


async def test_a_call_that_failed_costs_its_request_but_no_tokens(subject: Subject) -> None:
    lease = await subject.lease(FIVE, demand(400))

    await lease.settle(used(0))

    state = await subject.read(FIVE)
    assert state.tokens is not None
    assert state.requests is not None
    assert (state.tokens.level, state.requests.level) == (89_100, 3.75)


async def test_a_call_that_never_reached_the_vendor_costs_nothing(subject: Subject) -> None:
    lease = await subject.lease(FIVE, demand(400))

    await lease.settle(Observation(counted=False))

    state = await subject.read(FIVE)
    assert state.requests is not None
    assert state.requests.level == 4.75


async def test_output_is_metered_apart_where_the_vendor_does(subject: Subject) -> None:
    effective = limited(tpm=10_000, refill=100, output_tpm_capacity=1_000, output_tpm_refill_per_second=10)
    lease = await subject.lease(effective, Demand(input_tokens=5_000, max_output_tokens=800))
    refusal = await subject.refusal(effective, Demand(input_tokens=10, max_output_tokens=290))
    await lease.settle(used(4_000, 300))

    state = await subject.read(effective)
    assert refusal == Refusal(reason=Reason.TOKENS, wait=about(10))
    assert state.tokens is not None
    assert state.output_tokens is not None
    assert (state.tokens.level, state.output_tokens.level) == (9_900 - 4_000, 990 - 300)


async def test_calls_in_flight_are_bounded_until_one_ends(subject: Subject) -> None:
    effective = limited(max_concurrency=2)
    lease = await subject.lease(effective, demand(1))
    await subject.lease(effective, demand(1))

    assert await subject.refusal(effective, demand(1)) == Refusal(reason=Reason.CONCURRENCY, wait=0.1)
    await lease.settle(used(1))
    await subject.lease(effective, demand(1))


async def test_a_meter_without_limits_admits_everything(subject: Subject) -> None:
    for _ in range(20):
        await subject.set_aside(SMALL, tokens=1_000_000)


async def test_what_was_taken_before_limits_were_known_counts_when_they_are(subject: Subject) -> None:
    names = [await subject.set_aside(SMALL, tokens=299, seconds=100) for _ in range(5)]
    subject.meters.declare(SMALL)
    assert await subject.level(SMALL) == SIZE - 1_500

    assert isinstance(await subject.admission.admit(SMALL, demand(299), reservation=names[0]), Refusal)
    subject.clock.seconds += 51
    await subject.lease(SMALL, demand(299), reservation=names[0])
    assert await subject.level(SMALL) == SIZE - 1_500 + 510


async def test_limits_that_were_declared_hold_for_fetches_that_know_the_meter_only(subject: Subject) -> None:
    subject.meters.declare(SMALL)
    await subject.set_aside(SMALL, tokens=899)

    granted, wait, reason = await subject.fetch(SMALL, Wish(input=199, output=1), "another", 30)

    assert (granted, reason) == (False, "tokens")
    assert wait == pytest.approx(11)


async def test_a_limit_that_is_raised_or_lowered_counts_from_the_next_call(subject: Subject) -> None:
    await subject.lease(SMALL, demand(989))
    subject.meters.declare(limited(tpm=10_000, refill=1_000))
    subject.clock.seconds += 1
    assert await subject.level(SMALL) == 1_000

    subject.meters.declare(limited(tpm=500, refill=1))

    assert await subject.level(SMALL) == 495


async def test_a_worker_that_has_not_heard_of_new_limits_does_not_bring_the_old_ones_back(subject: Subject) -> None:
    wide, narrow, narrower = SMALL, limited(tpm=500, refill=1), limited(tpm=100, refill=1)
    await subject.lease(wide, demand(0))
    subject.meters.declare(narrow)
    subject.meters.declare(narrower)
    for stale in (wide, narrow):
        await subject.admission.admit(stale, demand(0))
        state = await subject.read(narrower)
        assert state.tokens is not None
        assert state.tokens.capacity == 100

    # What it names after a minute it must have read since.
    subject.clock.seconds += 60
    await subject.admission.admit(wide, demand(0))

    state = await subject.read(wide)
    assert state.tokens is not None
    assert state.tokens.capacity == 1_000


async def test_limits_that_nobody_replaced_are_believed_at_once(subject: Subject) -> None:
    await subject.lease(SMALL, demand(0))
    subject.meters.declare(limited(tpm=500, refill=1))
    other = limited(tpm=700, refill=1)
    await subject.admission.admit(other, demand(0))

    state = await subject.read(other)
    assert state.tokens is not None
    assert state.tokens.capacity == 700


async def test_a_bucket_that_comes_back_starts_full_but_for_what_is_under_way(subject: Subject) -> None:
    for _ in range(4):
        await subject.lease(FIVE, demand(1))
    for lease in subject.leases[1:]:
        await lease.settle(used(1))
    await (await subject.lease(limited(), demand(1))).settle(used(1))
    assert (await subject.read(FIVE)).requests is None

    await subject.lease(FIVE, demand(1))

    state = await subject.read(FIVE)
    assert state.requests is not None
    assert state.requests.level == 4.75 - 2


async def test_meters_of_other_credentials_models_and_tenants_are_others(subject: Subject) -> None:
    await subject.lease(SMALL, demand(989))

    await subject.lease(limited(tpm=1_000, refill=10, model="gpt-6-sol"), demand(989))
    await subject.lease(limited(tpm=1_000, refill=10, account="initech"), demand(989))


async def test_a_vendor_that_sets_the_cap_aside_is_not_asked_for_more_at_once(subject: Subject) -> None:
    effective = limited(
        provider=ProviderKind.BEDROCK, region="eu-west-1", credential="k", tpm=10_000, refill=0.001, base_url=None
    )
    for _ in range(10):
        lease = await subject.lease(effective, Demand(input_tokens=100, max_output_tokens=4_000))
        await lease.settle(used(100, 10))

    await subject.lease(effective, Demand(input_tokens=100, max_output_tokens=4_000))

    assert (await subject.read(effective)).reserved_tokens == 4_100


async def test_what_a_reply_used_beyond_input_and_output_counts_as_input(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(399))

    await lease.settle(Observation(usage=TokenUsage(input=100, cached_input=50, cache_write=30, output=20)))

    assert await subject.level(SMALL) == SIZE - 200


async def test_input_that_the_vendor_does_not_count_is_not_counted(subject: Subject) -> None:
    lease = await subject.lease(SMALL, demand(399))

    await lease.settle(Observation(usage=TokenUsage(input=100, cached_input=50, output=20), metered_input=100))

    assert await subject.level(SMALL) == SIZE - 120
