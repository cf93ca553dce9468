"""How jobs wait: patience and parking, and what is left behind; on a real Valkey, at a time that the test sets."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.support.lanes import LaneBench
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Which
from workers.lanes.emptying import empty_lanes

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey_client: redis.Redis) -> LaneBench:
    return LaneBench(valkey_client)


def told(since: float, *, reservation: str = "", impatient: bool = False) -> dict[str, Any]:
    return {"since": since, "reservation": reservation, "impatient": impatient}


def test_what_a_job_will_take_is_set_aside_when_it_is_fetched(bench: LaneBench) -> None:
    bench.put("acme")
    bench.pass_time(7)

    fetched = bench.take()

    assert fetched.told == told(1_000_000, reservation=f"fetch:{fetched.tag}")
    leases = bench.client.zrange("byom:{p/acme}:leases:/keys/acme#m", 0, -1, withscores=True)
    assert leases == [(f"fetch:{fetched.tag}".encode(), bench.now + 30)]
    assert bench.client.hget("byom:{p/acme}:held:/keys/acme#m", f"fetch:{fetched.tag}") == b"fetch"


def test_one_that_waited_past_its_patience_is_handed_out_unpaid(bench: LaneBench) -> None:
    bench.refuse("acme", "requests", 10_000)
    bench.put("acme", patience=60)
    bench.put("acme", patience=90)

    bench.pass_time(59)
    assert bench.fetch() is None
    bench.pass_time(2)
    assert bench.take().told == told(1_000_000, impatient=True)
    assert bench.fetch() is None
    bench.pass_time(30)
    assert bench.take().told == told(1_000_000, impatient=True)


def test_patience_ends_even_behind_a_more_patient_project_on_the_same_meter(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    bench.limit("", capacity=500, refill=0.001, **shared)
    bench.put_many(2, "first", **shared)
    bench.take()
    hasty = bench.put("hasty", patience=5, **shared)
    assert bench.fetch() is None

    bench.pass_time(6)

    assert bench.take().name == hasty
    assert bench.fetch() is None


def test_a_crowd_whose_patience_ended_is_not_before_everybody_else(bench: LaneBench) -> None:
    bench.refuse("dead", "credential", 10_000)
    for _ in range(20):
        bench.put("dead", patience=1)
    bench.put_many(10, "alive")
    bench.pass_time(2)

    served = [fetched.project for fetched in bench.served(20)]

    assert (served.count("alive"), served.count("dead")) == (10, 10)


@pytest.mark.parametrize("reason", ["breaker", "credential"])
def test_a_job_that_can_go_elsewhere_does_not_wait_for_an_ill_connection(bench: LaneBench, reason: str) -> None:
    bench.refuse("acme", reason, 60)
    bench.refuse("solo", reason, 60)
    bench.put("acme", fallback=True)
    bench.put("solo", fallback=False)

    fetched = bench.take()

    assert (fetched.project, fetched.told) == ("acme", told(1_000_000))
    assert bench.fetch() is None


def test_it_does_wait_for_a_limit(bench: LaneBench) -> None:
    bench.refuse("acme", "tokens", 60)
    bench.put("acme", fallback=True)

    assert bench.fetch() is None


def test_a_parked_job_is_the_first_of_its_lane_and_the_lane_waits(bench: LaneBench) -> None:
    name = bench.put("acme")
    bench.put("acme")
    other = bench.put("other")
    fetched = bench.take()
    bench.pass_time(3)

    assert bench.park(fetched, 60)

    assert not bench.client.exists("byom.unacked", "byom.unacked_index")
    assert bench.take().name == other
    assert bench.fetch() is None
    bench.pass_time(60.1)
    again = bench.take()
    assert (again.name, again.message) == (name, fetched.message)
    assert again.told == told(1_000_000, reservation=f"fetch:{fetched.tag}")


def test_parking_a_lanes_only_job_keeps_its_lane(bench: LaneBench) -> None:
    name = bench.put("acme")
    bench.park(bench.take(), 5)

    assert bench.fetch() is None
    bench.put("acme")
    assert bench.fetch() is None
    bench.pass_time(5.1)

    assert bench.take().name == name


def test_what_was_settled_cannot_be_parked(bench: LaneBench) -> None:
    bench.put("acme")
    fetched = bench.take()
    bench.ack(fetched)

    assert not bench.park(fetched, 5)
    assert bench.lanes.waiting("acme") == 0


def test_parking_costs_a_project_nothing_of_its_share(bench: LaneBench) -> None:
    bench.put_many(50, "unlucky")
    bench.put_many(50, "lucky")
    served: list[str] = []
    tries = 0
    while len(served) < 60:
        fetched = bench.take()
        tries += fetched.project == "unlucky"
        if fetched.project == "unlucky" and tries % 3:
            bench.park(fetched, 0)
            continue
        bench.ack(fetched)
        served.append(fetched.project)

    # Only every third of its tries comes to something; it gets half all the same.
    assert served.count("unlucky") == pytest.approx(30, abs=2)


def test_one_that_is_parked_past_its_patience_does_not_spin(bench: LaneBench) -> None:
    bench.refuse("acme", "tokens", 60)
    bench.put("acme", patience=1)
    bench.pass_time(2)

    bench.park(bench.take(), 0.1)

    assert bench.fetch() is None
    bench.pass_time(1.1)
    assert bench.take().told == told(1_000_000, impatient=True)


def test_the_later_of_two_waits_holds(bench: LaneBench) -> None:
    bench.put_many(2, "acme")
    first, second = bench.take(), bench.take()
    bench.park(first, 60, "credential")
    bench.park(second, 5, "tokens")

    bench.pass_time(6)
    assert bench.fetch() is None
    assert bench.wake_for("tokens") == 0
    assert bench.wake_for("credential") == 1

    assert bench.take().name == second.name


def test_waiting_for_a_spend_cap_uses_up_no_patience(bench: LaneBench) -> None:
    bench.put("acme", patience=60)
    bench.pass_time(50)
    bench.park(bench.take(), 10_000, "budget")

    bench.pass_time(9_000)
    assert bench.fetch() is None
    bench.lanes.wake(Which(project="acme"), reason="budget")
    fetched = bench.take()
    assert fetched.told == told(1_009_000, reservation=f"fetch:{fetched.tag}")

    # Back once more, still with ten seconds of patience.
    bench.refuse("acme", "tokens", 10_000)
    bench.park(fetched, 0)
    bench.pass_time(9)
    assert bench.fetch() is None
    bench.pass_time(2)
    assert bench.take().told == told(1_009_000, impatient=True)


@pytest.mark.parametrize(("end", "order"), [("head", [0, 1]), ("tail", [1, 0])])
def test_what_is_put_back_goes_to_its_lane(bench: LaneBench, end: str, order: list[int]) -> None:
    names = [bench.put("acme", patience=60) for _ in range(2)]
    bench.pass_time(5)
    assert bench.put_back(bench.take(), end=end)

    served = bench.served(2)

    assert [names[position] for position in order] == [fetched.name for fetched in served]
    assert {fetched.told["since"] for fetched in served if fetched.told} == {1_000_000}
    assert not bench.client.exists("q", "byom.unacked")


def test_nothing_is_left_behind_when_all_is_done(bench: LaneBench) -> None:
    for round_ in range(3):
        for number in range(30):
            bench.put_many(2, f"p{number}", priority="backfill" if number % 3 else "live", weight=1.0)
        bench.served(50)
        bench.park(bench.take(), 5)
        bench.pass_time(60 * (round_ + 1))
        bench.served(10)

    for _ in range(5):
        assert bench.fetch() is None

    assert bench.kept() == set()


def test_idle_meters_are_forgotten_while_others_go_on(bench: LaneBench) -> None:
    bench.put_many(400, "busy")
    for number in range(40):
        bench.put(f"p{number}")
    bench.served(200)

    assert {key for key in bench.kept() if "/keys/p" in key} == set()
    assert bench.client.zcard("byom:lanes:idle:q\tlive") == 0


def test_projects_that_come_and_go_leave_no_trail_at_a_busy_meter(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    bench.put_many(150, "stays", **shared)
    for number in range(100):
        bench.put(f"passes-{number}", **shared)
        bench.served(2)

    assert bench.client.zcard("byom:lanes:finished:q\tlive\ta/inc\t/keys/inc#m") <= 2


def test_a_lane_that_was_emptied_while_it_waited_is_gone_for_good(bench: LaneBench) -> None:
    bench.put("acme")
    bench.park(bench.take(), 60)
    assert empty_lanes(bench.client, Which(project="acme"), lambda _taken: None, now=str(bench.now)) == 1
    bench.pass_time(61)

    assert bench.fetch() is None
    assert bench.fetch() is None
    assert bench.kept() == set()
    assert not bench.client.exists("byom.malformed")


def test_what_is_handed_out_unpaid_costs_nothing_of_a_share(bench: LaneBench) -> None:
    bench.refuse("acme", "tokens", 10)
    for _ in range(5):
        bench.put("acme", patience=1, input=50_000)
    bench.put_many(30, "acme")
    bench.put_many(30, "other")
    bench.pass_time(2)
    late = [fetched for fetched in bench.served(10) if fetched.told and fetched.told["impatient"]]
    assert [fetched.project for fetched in late] == ["acme"] * 5

    bench.recover("acme")
    bench.pass_time(11)

    assert [fetched.project for fetched in bench.served(20)].count("acme") == pytest.approx(10, abs=1)


def test_what_is_no_entry_is_set_aside_and_the_next_is_delivered(bench: LaneBench) -> None:
    lane = "q\tlive\tp/acme\t/keys/acme#m\tacme"
    odd = [
        b"",
        b"\xff\xfe no label",
        b"1 2 3",
        b"nan 1 1 1 1 0 tag\n{}",
        b"1 -5 1 1 1 0 tag\n{}",
        b"1 1 1 1 inf 0 tag\n{}",
        b"1 1 1 1 9 0 tag\nnot an object",
    ]
    for entry in odd:
        bench.client.lpush(f"byom:lanes:jobs:{lane}", entry)
    good = bench.put("acme")

    for _ in odd:
        assert bench.fetch() is None
    assert bench.take().name == good
    assert bench.client.llen("byom.malformed") == len(odd)


def test_a_restart_keeps_lanes_waits_and_pauses(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path) as valkey:
        with redis.Redis.from_url(valkey.url) as client:
            bench = LaneBench(client)
            names = {bench.put(project) for project in ("a", "b", "b", "paused")}
            bench.lanes.pause(project="paused")
            bench.put("parked", queue="r")
            bench.park(bench.take("r"), 60)
        valkey.restart()
        with redis.Redis.from_url(valkey.url) as client:
            again = LaneBench(client)
            served = again.served(3)
            assert again.fetch() is None
            again.lanes.resume(project="paused")
            again.pass_time(61)
            served += [*again.served(1), again.take("r")]

    assert names | {"parked/5"} == {fetched.name for fetched in served}


def test_a_full_broker_refuses_new_jobs_and_can_be_emptied(bench: LaneBench) -> None:
    bench.put_many(2, "acme")
    bench.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            bench.put("acme")
        bench.park(bench.take(), 0)
        bench.pass_time(2)
        bench.served(2)
    finally:
        bench.client.config_set("maxmemory", 0)

    assert bench.fetch() is None


def test_a_large_message_goes_through_whole(bench: LaneBench) -> None:
    body = "ü\n{" * 70_000
    bench.put("acme", body=body)
    bench.park(bench.take(), 1)
    bench.pass_time(2)

    fetched = bench.take()

    assert fetched.message["body"] == body
    entry = bench.client.hget("byom.unacked", fetched.tag)
    assert entry is not None
    assert json.loads(entry)[0]["body"] == body
