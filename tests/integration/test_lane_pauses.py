"""Pauses and wakes of lanes; on a real Valkey, at a time that the test sets."""

import pytest
import redis

from tests.integration.support.lanes import LaneBench
from tests.integration.test_lane_waits import told
from workers.lanes.control import Which

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey_client: redis.Redis) -> LaneBench:
    return LaneBench(valkey_client)


def test_a_wake_ends_the_waits_of_a_meter_too(bench: LaneBench) -> None:
    bench.refuse("acme", "credential", 10_000)
    name = bench.put("acme")
    assert bench.fetch() is None
    bench.recover("acme")
    assert bench.fetch() is None

    assert bench.lanes.wake(Which(meter="/keys/other#m")) == 0
    assert bench.fetch() is None
    assert bench.lanes.wake(Which(meter="/keys/acme#m")) == 1

    assert bench.take().name == name


def test_a_paused_project_waits_with_all_that_comes_in_until_it_is_resumed(bench: LaneBench) -> None:
    bench.put("acme", patience=60)
    bench.lanes.pause(project="acme")
    bench.put("acme", patience=60)
    bench.put("acme", priority="backfill", queue="r", patience=60)
    other = bench.put("other")

    assert bench.take("q", "r").name == other
    assert bench.fetch("q", "r") is None
    bench.pass_time(1_000)
    assert bench.fetch("q", "r") is None

    bench.lanes.resume(project="acme")

    served = [bench.take("q", "r") for _ in range(3)]
    # A pause is no fault of the jobs': their patience stood still.
    assert [fetched.told["impatient"] for fetched in served if fetched.told] == [False] * 3


def test_a_pause_can_be_for_one_class_or_queue(bench: LaneBench) -> None:
    bench.lanes.pause(project="acme", priority="backfill", queue="r")
    live, elsewhere = bench.put("acme", queue="r"), bench.put("acme", priority="backfill")
    bench.put("acme", priority="backfill", queue="r")

    assert {bench.take("q", "r").name for _ in range(2)} == {live, elsewhere}
    assert bench.fetch("q", "r") is None
    bench.lanes.resume(project="acme")
    assert bench.fetch("q", "r") is not None
    assert "byom:lanes:paused" not in bench.kept()


def test_a_pause_counts_only_once_for_what_was_handed_out_and_comes_back(bench: LaneBench) -> None:
    bench.put("acme", patience=60)
    bench.put("acme", patience=60)
    bench.lanes.pause(project="acme")
    bench.pass_time(1_000)
    bench.lanes.resume(project="acme")
    fetched = bench.take()
    assert fetched.told == told(1_001_000, reservation=f"fetch:{fetched.tag}")

    bench.refuse("acme", "tokens", 10_000)
    bench.park(fetched, 0)
    bench.pass_time(59)
    assert bench.fetch() is None
    bench.pass_time(2)

    assert bench.take().told == told(1_001_000, impatient=True)


def test_what_is_parked_while_its_project_is_paused_stays(bench: LaneBench) -> None:
    bench.put("acme")
    fetched = bench.take()
    bench.lanes.pause(project="acme")
    bench.park(fetched, 5)
    bench.pass_time(10)
    assert bench.fetch() is None

    bench.lanes.wake()
    assert bench.fetch() is None
    bench.lanes.resume(project="acme")

    assert bench.take().name == fetched.name


def test_patience_goes_on_when_a_pause_is_over(bench: LaneBench) -> None:
    bench.refuse("acme", "tokens", 10_000)
    bench.put("acme", patience=60)
    bench.lanes.pause(project="acme")
    bench.pass_time(1_000)
    bench.lanes.resume(project="acme")

    bench.pass_time(59)
    assert bench.fetch() is None
    bench.pass_time(2)

    assert bench.take().told == told(1_001_000, impatient=True)


def test_what_a_removed_project_had_paused_goes_on_and_no_later_one_is_paused(bench: LaneBench) -> None:
    bench.lanes.pause(project="acme")
    bench.lanes.pause(project="acme", priority="live", queue="q")
    bench.lanes.pause(project="acme-two")
    waiting = bench.put("acme")
    bench.put("acme-two")

    assert bench.fetch() is None
    # Of each class, and of one queue.
    assert bench.lanes.forget("acme") == 3
    assert bench.lanes.forget("acme") == 0

    assert bench.take().name == waiting
    later = bench.put("acme")
    assert bench.take().name == later
    assert bench.fetch() is None
