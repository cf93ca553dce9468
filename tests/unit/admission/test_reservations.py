"""What is set aside for a job before it calls, and what of it comes back."""

import pytest

from tests.unit.admission.conftest import FIVE, LEASE, SIZE, SMALL, Subject, demand, limited, used
from workers.admission import Refusal


async def test_a_lost_worker_frees_its_place_when_its_lease_runs_out(subject: Subject) -> None:
    effective = limited(tpm=1_000, refill=0.001, max_concurrency=1)
    lost = await subject.lease(effective, demand(399))
    subject.clock.seconds = LEASE - 0.04
    assert (await subject.refusal(effective, demand(1))).wait == pytest.approx(0.04)
    subject.clock.seconds = LEASE

    state = await subject.read(effective)
    await subject.lease(effective, demand(1))

    assert (state.in_flight, state.reserved_tokens, state.reserved_requests) == (0, 0, 0)
    # Its call may have been made: the tokens stay taken, whatever it says later.
    await lost.settle(used(0))
    assert await subject.level(effective) == pytest.approx(SIZE - 400 - 2 + 0.12)


async def test_what_was_set_aside_for_a_job_that_never_called_comes_back(subject: Subject) -> None:
    effective = limited(tpm=1_000, refill=0.001)
    await subject.set_aside(effective, tokens=399, seconds=30)
    await subject.lease(effective, demand(99))
    assert await subject.level(effective) == SIZE - 500
    subject.clock.seconds = 30

    assert await subject.level(effective) == pytest.approx(SIZE - 100 + 0.03)
    assert (await subject.read(effective)).in_flight == 1


async def test_more_leases_than_one_call_clears_away_all_go(subject: Subject) -> None:
    for _ in range(250):
        await subject.set_aside(FIVE, tokens=0, calls=0, seconds=10)
    subject.clock.seconds = 10

    assert [(await subject.read(FIVE)).in_flight for _ in range(3)] == [150, 50, 0]


async def test_a_call_takes_the_place_of_what_was_set_aside_for_it(subject: Subject) -> None:
    await subject.lease(SMALL, demand(0))  # says what the limits are
    name = await subject.set_aside(SMALL, tokens=899)
    assert await subject.level(SMALL) == SIZE - 1 - 900

    await subject.lease(SMALL, demand(949), reservation=name)

    assert await subject.level(SMALL) == SIZE - 1 - 950
    assert (await subject.read(SMALL)).in_flight == 2


async def test_a_call_that_comes_late_takes_its_tokens_from_a_bucket_that_is_full_by_then(subject: Subject) -> None:
    subject.meters.declare(SMALL)
    name = await subject.set_aside(SMALL, tokens=299, seconds=100)
    subject.clock.seconds += 60
    assert await subject.level(SMALL) == SIZE

    await subject.lease(SMALL, demand(299), reservation=name)

    assert await subject.level(SMALL) == SIZE - 300


async def test_a_place_that_was_set_aside_is_the_calls_own(subject: Subject) -> None:
    effective = limited(max_concurrency=1)
    (await subject.admission.admit(effective, demand(1)))
    subject.clock.seconds = LEASE
    name = await subject.set_aside(effective, tokens=1)

    assert isinstance(await subject.admission.admit(effective, demand(1)), Refusal)
    await subject.lease(effective, demand(1), reservation=name)


async def test_a_refused_call_leaves_what_was_set_aside_until_it_is_released(subject: Subject) -> None:
    await subject.lease(SMALL, demand(89))
    name = await subject.set_aside(SMALL, tokens=399)

    await subject.refusal(SMALL, demand(949), reservation=name)
    assert await subject.level(SMALL) == SIZE - 90 - 400

    await subject.admission.release(SMALL, reservation=name)
    await subject.admission.release(SMALL, reservation=name)
    assert await subject.level(SMALL) == SIZE - 90


async def test_a_reservation_that_is_gone_is_as_good_as_none(subject: Subject) -> None:
    await subject.lease(SMALL, demand(399), reservation="never-heard-of")

    assert await subject.level(SMALL) == SIZE - 400
