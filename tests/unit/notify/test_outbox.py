"""The outbox: what is put in comes out until it is delivered or given up, in whoever's hands it is."""

import asyncio

import pytest

from tests.notify import Moment, Server
from workers.notify.outbox import EVENTS_TARGET, Delivery, Limits, Outbox, OutboxReader

LIMITS = Limits(waiting=5, failed=3, failed_ttl=100)
FIELDS = {"project": "acme", "kind": "job.completed", "message": "j1", "body": '{"ä": 1}'}


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def outbox(server: Server, moment: Moment) -> Outbox:
    return Outbox(server.client, limits=LIMITS, remembered=1_000, now=moment)


@pytest.fixture
def reader(server: Server, moment: Moment) -> OutboxReader:
    return OutboxReader(server.sync, now=moment)


async def put(outbox: Outbox, delivery_id: str = "d1", target: str = "t1", **fields: str) -> bool:
    return await outbox.put(delivery_id, target=target, fields=FIELDS | fields)


async def claim(outbox: Outbox, *, owner: str = "w1", limit: int = 10, per_target: int = 10) -> list[Delivery]:
    return await outbox.claim(owner=owner, lease=30, limit=limit, per_target=per_target)


async def test_what_is_put_in_comes_out_whole_and_once(outbox: Outbox) -> None:
    assert await put(outbox, url="https://h.example/x")

    (delivery,) = await claim(outbox)
    assert delivery == Delivery(
        id="d1",
        target="t1",
        owner="w1",
        message="j1",
        project="acme",
        kind="job.completed",
        tries=1,
        body='{"ä": 1}',
        url="https://h.example/x",
        gone=None,
    )
    assert await claim(outbox, owner="w2") == []


async def test_the_same_id_again_changes_nothing_before_and_after_delivery(outbox: Outbox, moment: Moment) -> None:
    assert await put(outbox)
    assert not await put(outbox, body="other")
    (delivery,) = await claim(outbox)
    assert not await put(outbox)
    assert await outbox.delivered(delivery)
    assert not await put(outbox)

    moment.pass_by(3_600)
    assert await claim(outbox) == []


async def test_a_delivered_one_keeps_no_body_and_is_forgotten_some_day(outbox: Outbox, server: Server) -> None:
    await put(outbox)
    (delivery,) = await claim(outbox)
    await outbox.delivered(delivery)

    kept = server.sync.hgetall("byom:outbox:delivery:d1")
    assert b"body" not in kept
    assert kept[b"state"] == b"delivered"
    assert 0 < server.sync.ttl("byom:outbox:delivery:d1") <= 1_000
    left = sorted(server.sync.keys("byom:outbox:*"))
    assert left == [b"byom:outbox:counts", b"byom:outbox:delivery:d1"]


async def test_the_deliveries_of_a_dead_worker_go_to_the_next_with_the_same_id(outbox: Outbox, moment: Moment) -> None:
    await put(outbox)
    (first,) = await claim(outbox, owner="dead", per_target=1)

    moment.pass_by(29.999)
    assert await claim(outbox, owner="next", per_target=1) == []
    moment.pass_by(0.001)
    (second,) = await claim(outbox, owner="next", per_target=1)

    assert (second.message, second.tries) == (first.message, 2)
    # The dead one comes back to life, late.
    assert not await outbox.delivered(first)
    assert not await outbox.give_up(first, cause="late")
    assert await outbox.delivered(second)


async def test_what_somebody_deleted_by_hand_is_passed_over(outbox: Outbox, server: Server) -> None:
    await put(outbox, "d1")
    await put(outbox, "d2")
    server.sync.delete("byom:outbox:delivery:d1")

    assert [one.id for one in await claim(outbox)] == ["d2"]
    assert await put(outbox, "d1")


async def test_many_workers_take_each_delivery_once(outbox: Outbox) -> None:
    await asyncio.gather(*(put(outbox, f"d{number}", f"t{number % 20}") for number in range(60)))

    taken = await asyncio.gather(*(claim(outbox, owner=f"w{number}", limit=7) for number in range(12)))

    ids = [delivery.id for one in taken for delivery in one]
    assert sorted(ids) == sorted(f"d{number}" for number in range(60))


async def test_a_retry_is_due_when_its_time_has_come(outbox: Outbox, moment: Moment) -> None:
    await put(outbox)
    for tries, seconds in enumerate((30, 120, 600), start=1):
        (delivery,) = await claim(outbox)
        assert delivery.tries == tries
        assert await outbox.retry(delivery, cause="answered 500", seconds=seconds)
        moment.pass_by(seconds - 0.001)
        assert await claim(outbox) == []
        moment.pass_by(0.001)
    assert len(await claim(outbox)) == 1


async def test_a_receiver_that_is_busy_keeps_nobody_else_waiting(outbox: Outbox) -> None:
    for number in range(5):
        await put(outbox, f"slow{number}", "slow")
    await put(outbox, "quick0", "quick")

    first = await claim(outbox, per_target=2)
    assert sorted(one.id for one in first) == ["quick0", "slow0", "slow1"]
    assert await claim(outbox, per_target=2) == []

    await outbox.delivered(next(one for one in first if one.id == "slow0"))
    assert [one.id for one in await claim(outbox, per_target=2)] == ["slow2"]


async def test_receivers_are_served_in_turn_when_places_are_few(outbox: Outbox, moment: Moment) -> None:
    for target in ("a", "b", "c"):
        for number in range(3):
            await put(outbox, f"{target}{number}", target)
    order = []
    for _ in range(9):
        moment.pass_by(0.01)
        (one,) = await claim(outbox, limit=1)
        order.append(one.id)
        await outbox.delivered(one)

    assert [name[0] for name in order] == ["a", "b", "c"] * 3


async def test_a_receiver_with_much_does_not_take_the_turn_of_those_that_were_not_served(
    outbox: Outbox, moment: Moment
) -> None:
    for target in ("a", "b", "c"):
        for number in range(4):
            await put(outbox, f"{target}{number}", target)
    order = []
    for _ in range(6):
        moment.pass_by(0.01)
        claimed = await claim(outbox, limit=2)
        order.append([one.target for one in claimed])
        for one in claimed:
            await outbox.delivered(one)

    assert order == [["a", "a"], ["b", "b"], ["c", "c"]] * 2


async def test_a_receiver_that_fails_gets_one_at_a_time_until_it_is_well_again(outbox: Outbox, moment: Moment) -> None:
    for number in range(4):
        await put(outbox, f"d{number}")
    (first,) = await claim(outbox, limit=1)
    await outbox.retry(first, cause="answered 500", seconds=30)

    (second,) = await claim(outbox)
    assert await claim(outbox) == []
    await outbox.delivered(second)

    assert len(await claim(outbox)) == 2
    moment.pass_by(30)
    assert [one.id for one in await claim(outbox)] == ["d0", "d2", "d3"]


async def test_what_was_given_up_is_kept_with_its_cause_and_can_be_sent_again(
    outbox: Outbox, reader: OutboxReader, moment: Moment
) -> None:
    await put(outbox)
    (delivery,) = await claim(outbox)
    await outbox.give_up(delivery, cause="answered 500")

    (failed,) = reader.failed("acme")
    assert (failed.message, failed.cause, failed.tries, failed.target) == ("j1", "answered 500", 1, "t1")
    assert failed.ended == moment.at.timestamp()
    assert list(reader.failed("globex")) == []
    assert await claim(outbox) == []

    assert reader.redeliver(failed)
    assert not reader.redeliver(failed)
    (again,) = await claim(outbox)
    assert (again.message, again.tries, again.body) == ("j1", 1, '{"ä": 1}')
    await outbox.delivered(again)
    assert list(reader.failed()) == []


async def test_of_those_given_up_so_many_are_kept_and_so_long(
    outbox: Outbox, reader: OutboxReader, moment: Moment, server: Server
) -> None:
    for number in range(5):
        await put(outbox, f"d{number}", f"t{number}", message=f"j{number}")
        (delivery,) = await claim(outbox)
        await outbox.give_up(delivery, cause="no")
        moment.pass_by(1)

    assert [failed.message for failed in reader.failed()] == ["j2", "j3", "j4"]
    assert not server.sync.exists("byom:outbox:delivery:d0")
    assert 0 < server.sync.ttl("byom:outbox:delivery:d4") <= 100


async def test_a_receiver_that_is_gone_gets_nothing_until_it_is_reopened(outbox: Outbox, reader: OutboxReader) -> None:
    await put(outbox, "d1")
    await put(outbox, "d2")
    first, second = await claim(outbox)
    assert await outbox.gone(first, cause="answered 410")
    await outbox.retry(second, cause="", seconds=0)

    (left,) = await claim(outbox)
    assert left.gone == "answered 410"
    assert not await put(outbox, "d3")
    assert reader.gone("t1") == "answered 410"

    assert reader.reopen("t1")
    assert await put(outbox, "d3")
    assert reader.gone("t1") is None


async def test_beyond_its_bound_a_queue_takes_no_more_and_says_so(outbox: Outbox, reader: OutboxReader) -> None:
    for number in range(6):
        await put(outbox, f"d{number}", message=f"j{number}")

    (failed,) = reader.failed()
    assert failed.message == "j5"
    assert "5 deliveries wait" in failed.cause
    assert reader.waiting("t1") == 5
    assert await put(outbox, "other", "t2")


async def test_outcomes_are_counted_by_project(outbox: Outbox, reader: OutboxReader) -> None:
    await put(outbox, "d1")
    await put(outbox, "d2", "t2", project="globex")
    one, two = await claim(outbox)
    await outbox.retry(one, cause="", seconds=0)
    await outbox.give_up(two, cause="")
    (one,) = await claim(outbox)
    await outbox.delivered(one)
    assert reader.redeliver(next(reader.failed()))

    assert reader.counts() == {
        ("acme", "retried"): 1,
        ("acme", "delivered"): 1,
        ("globex", "failed"): 1,
        ("globex", "redelivered"): 1,
    }


async def test_an_event_that_was_handed_on_is_no_delivery(outbox: Outbox, reader: OutboxReader) -> None:
    await put(outbox, "d1", EVENTS_TARGET)
    (event,) = await claim(outbox)
    await outbox.delivered(event)

    assert reader.counts() == {}


async def test_what_waits_and_who_fails_is_told_over_all_receivers(outbox: Outbox, reader: OutboxReader) -> None:
    assert (reader.waiting_in_all(), reader.failing()) == (0, 0)

    await put(outbox, "d1")
    await put(outbox, "d2")
    await put(outbox, "d3", "t2")
    taken = {delivery.id: delivery for delivery in await claim(outbox)}
    await outbox.retry(taken["d1"], cause="", seconds=60)
    await outbox.delivered(taken["d3"])

    assert (reader.waiting_in_all(), reader.failing()) == (2, 1)
