"""Who has a job in hand: claims, leases, and deliveries that never laid it down."""

import pytest

from tests.support import START
from tests.unit.jobs.conftest import Subject, route
from workers.jobs import Busy, Claimed, Dropped, HandedOver


async def test_a_new_job_is_claimed_with_nothing_done(subject: Subject) -> None:
    assert await subject.jobs.claim("j", hop=1, owner="a", lease=15) == Claimed()


async def test_a_claimed_job_is_busy_for_others_until_its_lease_lapses(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert 0 < claim.seconds <= 15

    await subject.lapse()
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Claimed)


async def test_a_claim_that_is_sent_twice_holds(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    assert await subject.jobs.claim("j", hop=1, owner="a", lease=15) == Claimed()


async def test_a_released_job_can_be_claimed_and_only_its_owner_releases_it(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)

    await subject.jobs.release("j", owner="b")
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Busy)

    await subject.jobs.release("j", owner="a")
    assert isinstance(await subject.jobs.claim("j", hop=1, owner="b", lease=15), Claimed)


async def test_renewing_prolongs_only_leases_that_are_still_the_owners(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    assert await subject.jobs.renew([("other", "a"), ("j", "a")], lease=100) == [("j", "a")]
    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert claim.seconds > 15

    assert await subject.jobs.renew([("j", "b")], lease=500) == []
    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    assert isinstance(claim, Busy)
    assert claim.seconds <= 100


async def test_a_delivery_that_never_laid_the_job_down_is_told_of_until_it_is_written_off(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)
    await subject.lapse()

    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert isinstance(claim, Claimed)
    assert [one.owner for one in claim.dropped] == ["a", "b"]
    await subject.jobs.release("j", owner="a")
    claim = await subject.jobs.claim("j", hop=1, owner="c", lease=15)
    assert isinstance(claim, Claimed)
    assert [one.owner for one in claim.dropped] == ["b"]


async def test_a_job_that_is_given_back_with_a_call_under_way_is_free_and_the_delivery_told_of(
    subject: Subject,
) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.release("j", owner="a", dropped=True)

    claim = await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    assert claim == Claimed(dropped=(Dropped(owner="a", since=START),))


@pytest.mark.parametrize("how", ["released", "handed over"])
async def test_a_delivery_that_laid_the_job_down_is_not_told_of(subject: Subject, how: str) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    if how == "released":
        await subject.jobs.release("j", owner="a")
    else:
        await subject.jobs.hand_over("j", owner="a", route=route(2))

    assert await subject.jobs.claim("j", hop=2, owner="b", lease=15) == Claimed()


async def test_a_stale_delivery_learns_where_the_job_went(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.jobs.hand_over("j", owner="a", route=route(2))

    assert await subject.jobs.claim("j", hop=1, owner="b", lease=15) == HandedOver(route=route(2))
    assert isinstance(await subject.jobs.claim("j", hop=2, owner="c", lease=15), Claimed)


async def test_a_late_hand_over_does_not_turn_a_job_back(subject: Subject) -> None:
    await subject.jobs.hand_over("j", owner="a", route=route(3))
    await subject.jobs.hand_over("j", owner="b", route=route(2))

    assert await subject.jobs.claim("j", hop=2, owner="c", lease=15) == HandedOver(route=route(3))


async def test_who_hands_a_job_over_hears_who_else_has_it_in_hand(subject: Subject) -> None:
    await subject.jobs.claim("j", hop=1, owner="a", lease=15)
    await subject.lapse()
    await subject.jobs.claim("j", hop=1, owner="b", lease=15)

    assert [other.owner for other in await subject.jobs.hand_over("j", owner="a", route=route(2))] == ["b"]
    assert await subject.jobs.hand_over("j", owner="b", route=route(2)) == ()
