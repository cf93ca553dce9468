"""Whose job is next: shares, classes, and meters that cannot pay; on a real Valkey, at a time that the test sets."""

from collections import Counter

import pytest
import redis

from tests.integration.support.lanes import LaneBench

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(valkey_client: redis.Redis) -> LaneBench:
    return LaneBench(valkey_client)


def shares(bench: LaneBench, count: int) -> Counter[str]:
    return Counter(fetched.project for fetched in bench.served(count))


def test_one_projects_jobs_come_in_the_order_in_which_they_came(bench: LaneBench) -> None:
    names = [bench.put("acme") for _ in range(5)]

    assert names == [fetched.name for fetched in bench.served(5)]
    assert bench.fetch() is None


def test_equal_weights_get_equal_shares_however_long_their_lanes_are(bench: LaneBench) -> None:
    bench.put_many(2_000, "flood")
    bench.put_many(300, "quiet")
    bench.put_many(300, "other")

    served = shares(bench, 600)

    assert all(190 <= served[project] <= 210 for project in ("flood", "quiet", "other")), served


def test_a_quiet_project_is_next_behind_a_flood(bench: LaneBench) -> None:
    bench.put_many(1_000, "flood")
    bench.served(100)

    name = bench.put("quiet")

    assert name in [fetched.name for fetched in bench.served(2)]


def test_a_weight_of_three_gets_three_times_the_share(bench: LaneBench) -> None:
    for _ in range(600):
        bench.put("heavy", weight=3.0)
        bench.put("light", weight=1.0)

    served = shares(bench, 600)

    assert served["heavy"] / served["light"] == pytest.approx(3, rel=0.05)


def test_shares_are_of_tokens_not_of_jobs(bench: LaneBench) -> None:
    bench.put_many(400, "long", input=9_500)
    bench.put_many(400, "short", input=500)

    served = shares(bench, 330)

    assert served["short"] / served["long"] == pytest.approx(10, rel=0.05)


def test_a_weight_that_is_changed_holds_at_once(bench: LaneBench) -> None:
    bench.put_many(500, "a")
    bench.put_many(500, "b")
    assert shares(bench, 100) == {"a": 50, "b": 50}

    bench.lanes.weight("a", 4)

    served = shares(bench, 200)
    assert served["a"] / served["b"] == pytest.approx(4, rel=0.05)


def test_projects_on_one_meter_share_what_it_can_pay(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    bench.limit("", capacity=1_000, refill=1_000, **shared)
    for project in ("a", "b", "c"):
        bench.put_many(200, project, **shared)
    bench.put_many(2_000, "fast")

    served: Counter[str] = Counter()
    for _ in range(90):
        while (fetched := bench.fetch()) and fetched.project != "fast":
            served[fetched.project] += 1
        bench.pass_time(1)

    assert sum(served.values()) == pytest.approx(180, abs=4)
    assert all(57 <= served[project] <= 63 for project in ("a", "b", "c")), served


def test_a_project_that_comes_back_again_and_again_gains_nothing_by_it(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    for project in ("a", "b", "c"):
        bench.put_many(300, project, **shared)
    bench.put("one-by-one", **shared)

    served: Counter[str] = Counter()
    for _ in range(400):
        [fetched] = bench.served(1)
        served[fetched.project] += 1
        if fetched.project == "one-by-one":
            bench.put("one-by-one", **shared)

    assert served["one-by-one"] == pytest.approx(100, abs=5)


def test_a_project_that_joins_others_on_their_meter_is_not_owed_the_past(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    bench.put_many(300, "old", **shared)
    bench.served(100)
    bench.put_many(200, "new", **shared)

    assert shares(bench, 100)["new"] == pytest.approx(50, abs=2)


def test_many_that_come_back_at_once_are_not_before_everybody_else(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    for project in ("back", "here"):
        bench.put_many(150, project, **shared)
    held = [bench.take() for _ in range(100)]
    for fetched in held:
        if fetched.project == "back":
            bench.put_back(fetched)

    assert shares(bench, 100)["back"] == pytest.approx(50, abs=2)


def test_a_project_that_was_away_is_not_owed_what_it_missed(bench: LaneBench) -> None:
    bench.limit("away", capacity=500, refill=0.001)
    bench.put_many(200, "away")
    bench.put_many(400, "here")
    bench.served(201)

    bench.limit("away", capacity=1e9, refill=1e9)
    bench.lanes.wake()
    bench.pass_time(1)

    assert shares(bench, 100)["here"] == pytest.approx(50, abs=2)


def test_live_jobs_go_before_backfill_which_keeps_a_small_share(bench: LaneBench) -> None:
    bench.put_many(500, "slow", priority="backfill")
    bench.put_many(500, "quick")

    served = shares(bench, 400)

    assert served["slow"] == pytest.approx(20, abs=2)


def test_backfill_keeps_its_share_at_a_meter_that_live_jobs_use_up(bench: LaneBench) -> None:
    bench.limit("acme", capacity=4_000, refill=2_000)
    bench.put_many(1_000, "acme")
    # Larger than the live ones: were those to go on meanwhile, the tokens for it would never come together.
    bench.put_many(100, "acme", priority="backfill", input=3_500)

    tokens: Counter[str] = Counter()
    for _ in range(200):
        while fetched := bench.fetch():
            header = fetched.message["headers"]["byom"]
            tokens[header["priority"]] += header["input"] + 500
        bench.pass_time(1)

    assert tokens["backfill"] / tokens.total() == pytest.approx(0.05, abs=0.01)


def test_without_a_floor_backfill_gets_what_is_left(bench: LaneBench) -> None:
    bench.floor = 0
    bench.put_many(100, "slow", priority="backfill")
    bench.put_many(200, "quick")

    assert shares(bench, 200) == {"quick": 200}
    assert shares(bench, 100) == {"slow": 100}


def test_backfill_alone_may_use_everything_and_owes_nothing_for_it(bench: LaneBench) -> None:
    bench.put_many(600, "slow", priority="backfill")
    bench.served(300)

    bench.put_many(300, "quick")

    assert shares(bench, 200)["slow"] == pytest.approx(10, abs=2)


def test_a_meter_that_cannot_pay_blocks_only_itself(bench: LaneBench) -> None:
    bench.limit("poor", capacity=500, refill=10)
    bench.put_many(10, "poor")
    bench.put_many(10, "rich")

    assert shares(bench, 11) == {"poor": 1, "rich": 10}
    assert bench.fetch() is None
    bench.pass_time(49.9)
    assert bench.fetch() is None
    bench.pass_time(0.2)
    assert bench.take().project == "poor"
    assert bench.fetch() is None


def test_backfill_does_not_take_the_tokens_that_a_live_job_of_its_meter_waits_for(bench: LaneBench) -> None:
    bench.limit("acme", capacity=1_000, refill=10)
    bench.put("acme", input=1_000)
    bench.take()
    large = bench.put("acme", input=1_000)
    bench.put("acme", priority="backfill", input=10)
    assert bench.fetch() is None
    bench.pass_time(50)

    assert bench.fetch() is None
    bench.pass_time(51)
    assert bench.take().name == large


def test_no_small_job_overtakes_a_big_one_at_its_meter_for_ever(bench: LaneBench) -> None:
    shared = {"tenant": "a/inc", "meter": "/keys/inc#m"}
    bench.limit("", capacity=10_000, refill=100, **shared)
    bench.put("first", input=10_000, **shared)
    bench.take()
    big = bench.put("big", input=9_000, **shared)
    bench.put_many(200, "small", input=100, **shared)

    before: list[str] = []
    while not before or before[-1] != big:
        fetched = bench.fetch()
        if fetched is None:
            bench.pass_time(1)
        else:
            before.append(fetched.name)

    assert len(before) <= 2


def test_queues_take_turns_and_the_plain_list_of_a_queue_goes_first(bench: LaneBench) -> None:
    name = bench.put("acme", queue="r")
    bench.client.lpush("r", '{"headers": {"id": "plain"}, "properties": {"delivery_tag": "t"}}')
    first = bench.put("acme", queue="q")

    fetched = [bench.take("q", "r") for _ in range(3)]

    assert [one.name for one in fetched] == [first, "plain", name]
    assert [one.told is None for one in fetched] == [False, True, False]
    assert bench.fetch("q", "r") is None


def test_more_meters_than_are_asked_at_once_hide_nobody_for_long(bench: LaneBench) -> None:
    for number in range(50):
        bench.refuse(f"poor-{number}", "requests", 60)
        bench.put(f"poor-{number}")
    rich = bench.put("rich")

    found = [bench.fetch() for _ in range(4)]

    assert [fetched.name for fetched in found if fetched] == [rich]
