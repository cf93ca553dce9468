"""What Prometheus reads of the pool."""

from dataclasses import replace
from datetime import timedelta

import pytest
import redis
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from config.prices import PICO
from tests.monitoring import boards, busy_lanes, busy_meters, combination, hour, site
from tests.support import START, ManualClock
from workers.economy.controls import BatchView, WaitingView
from workers.economy.keys import LINES, Line, waiting_key
from workers.monitoring.boards import Boards
from workers.monitoring.metrics import names
from workers.monitoring.metrics.pool import PoolCollector
from workers.monitoring.metrics.slots import OTHER, Slots
from workers.monitoring.metrics.usage import UsageCounters
from workers.monitoring.pool.batches import MemoryBatches
from workers.monitoring.pool.lanes import MemoryLanes
from workers.monitoring.pool.meters import MemoryMeters
from workers.monitoring.pool.webhooks import MemoryWebhooks
from workers.monitoring.usage.sums import Combination, MemoryHours, Sums

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(collector: PoolCollector) -> Samples:
    registry = CollectorRegistry()
    registry.register(collector)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    return sum(
        amount for (known, given), amount in found.items() if known == name and labels.items() <= dict(given).items()
    )


class Ledger:
    """Hours that grow, and what is counted of them."""

    def __init__(self, **projects: int) -> None:
        self.clock = ManualClock()
        self.source = MemoryHours(
            {hour(0): {combination(project=name): Sums(attempts=1, cost=spent) for name, spent in projects.items()}}
        )
        self.given: Boards = boards(self.source, clock=self.clock)

    def add(self, kind: Combination, sums: Sums, *, back: int = 0) -> None:
        table = dict(self.source.hours.get(hour(back), {}))
        total = replace(table.get(kind, Sums()))
        total.add(sums)
        self.source.hours[hour(back)] = {**table, kind: total}


def test_counters_begin_at_nothing_and_count_what_is_new_to_the_token() -> None:
    ledger = Ledger(acme=5)
    collector = PoolCollector(ledger.given)
    assert value(samples(collector), "byom_attempts_total") == 0

    ledger.add(
        combination(),
        Sums(attempts=3, failed=1, unpriced=1, cost=2 * PICO, input=70, cached_input=20, cache_write=5, output=9,
             reasoning=4, latency_ms=1_500, queue_wait_ms=250),
    )  # fmt: skip
    ledger.add(combination(role="fallback"), Sums(attempts=1, input=1))
    found = samples(collector)

    assert value(found, "byom_attempts_total", outcome="ok", role="primary") == 2
    assert value(found, "byom_attempts_total", outcome="failed") == 1
    assert value(found, "byom_attempts_total", role="fallback", outcome="ok") == 1
    tokens = {
        kind: value(found, "byom_tokens_total", type=kind)
        for kind in ("input", "cached_input", "cache_write", "output")
    }
    assert tokens == {"input": 71, "cached_input": 20, "cache_write": 5, "output": 9}
    assert value(found, "byom_reasoning_tokens_total") == 4
    assert value(found, "byom_cost_usd_total", project="acme") == 2
    assert value(found, "byom_unpriced_attempts_total") == 1
    assert (value(found, "byom_call_seconds_total"), value(found, "byom_attempt_wait_seconds_total")) == (1.5, 0.25)
    assert samples(collector) == found


def test_what_is_settled_late_or_while_nobody_asks_is_counted_once() -> None:
    ledger = Ledger(acme=1)
    counters = UsageCounters(ledger.source, clock=ledger.clock, projects=5)
    counters.read()

    # Over the turn of an hour, a record of the old one comes in.
    ledger.add(combination(), Sums(attempts=10))
    ledger.clock.seconds += 3_600
    ledger.add(combination(), Sums(attempts=1), back=0)
    ledger.add(combination(), Sums(attempts=100), back=-1)
    first = sum(sums.attempts for sums in counters.read().values())
    # Nobody asks for five hours.
    ledger.add(combination(), Sums(attempts=1_000), back=-2)
    ledger.add(combination(), Sums(attempts=10_000), back=-6)
    ledger.clock.seconds += 5 * 3_600
    second = sum(sums.attempts for sums in counters.read().values())

    assert (first, second) == (111, 11_111)


def test_a_call_that_began_two_hours_ago_still_counts_when_it_ends() -> None:
    ledger = Ledger(acme=1)
    counters = UsageCounters(ledger.source, clock=ledger.clock, projects=5)
    counters.read()
    for _ in range(2):
        ledger.clock.seconds += 3_600
        counters.read()

    ledger.add(combination(), Sums(attempts=10))

    assert sum(sums.attempts for sums in counters.read().values()) == 10


def test_those_who_spend_most_have_series_of_their_own_and_all_others_share_one() -> None:
    ledger = Ledger(small=1, large=100, middle=10)
    collector = PoolCollector(ledger.given, projects=2)
    samples(collector)
    for name in ("small", "large", "middle", "new"):
        ledger.add(combination(project=name), Sums(attempts=1))

    found = samples(collector)

    counted = {name: value(found, "byom_attempts_total", project=name) for name in ("large", "middle", OTHER)}
    assert counted == {"large": 1, "middle": 1, OTHER: 2}
    assert value(found, "byom_attempts_total") == 4


def test_counters_never_fall_while_projects_come_and_go() -> None:
    ledger = Ledger(a=3, b=2)
    collector = PoolCollector(ledger.given, projects=2)
    before = samples(collector)
    for step in range(5):
        ledger.add(combination(project=f"new-{step}"), Sums(attempts=1))
        ledger.add(combination(project="a"), Sums(attempts=1))
        ledger.clock.seconds += 600
        found = samples(collector)
        assert all(found[key] >= amount for key, amount in before.items() if key[0].endswith("_total"))
        before = found


def test_a_place_is_given_up_by_whoever_was_not_seen_for_a_day() -> None:
    slots = Slots(2)
    slots.fill(["a", "b", "c"], now=START)

    assert slots.of("c", now=START + timedelta(hours=23)) == OTHER
    assert slots.of("a", now=START + timedelta(hours=20)) == "a"
    assert slots.of("c", now=START + timedelta(hours=25)) == "c"
    assert (slots.has("b"), slots.of("b", now=START + timedelta(hours=26))) == (False, OTHER)
    assert Slots(0).of("a", now=START) == OTHER


def test_a_series_whose_place_was_taken_is_gone() -> None:
    ledger = Ledger(old=1)
    collector = PoolCollector(ledger.given, projects=1)
    assert value(samples(collector), "byom_attempts_total", project="old") == 0
    ledger.clock.seconds += 90_000
    ledger.add(combination(project="new"), Sums(attempts=1), back=-25)

    found = samples(collector)

    assert {dict(labels)["project"] for name, labels in found if name == "byom_attempts_total"} == {"new"}


def test_lanes_are_told_by_queue_priority_and_project_the_smaller_ones_together() -> None:
    lanes = MemoryLanes(busy_lanes())
    lanes.pause(project="fabrikam")
    found = samples(PoolCollector(boards(lanes=lanes), projects=1))

    assert value(found, "byom_lane_jobs", project="contoso", priority="backfill") == 18_420
    assert value(found, "byom_lane_jobs") == sum(lane.depth for lane in busy_lanes())
    assert value(found, "byom_lane_tokens") == sum(lane.tokens for lane in busy_lanes())
    assert value(found, "byom_lane_oldest_seconds", queue="extract.gemini", priority="backfill") == 4_512
    assert {dict(labels)["project"] for name, labels in found if name == "byom_lane_jobs"} == {"contoso", OTHER}
    assert value(found, "byom_lanes_paused", priority="live") == 1


def test_smaller_projects_of_one_queue_wait_as_long_as_the_oldest_of_them() -> None:
    lane = busy_lanes()[1]
    lanes = [
        replace(lane, project=f"p{number}", depth=number + 1, oldest_age=float(10 - number)) for number in range(4)
    ]
    found = samples(PoolCollector(boards(lanes=MemoryLanes(lanes)), projects=1))

    assert value(found, "byom_lane_jobs", project=OTHER) == 1 + 2 + 3
    assert value(found, "byom_lane_oldest_seconds", project=OTHER) == 10


def test_jobs_behind_others_of_their_session_are_counted_apart_from_those_in_lanes() -> None:
    lane = busy_lanes()[1]
    lanes = [replace(lane, project=f"p{number}", depth=10 - number, behind=number) for number in range(4)]
    found = samples(PoolCollector(boards(lanes=MemoryLanes(lanes)), projects=1))

    assert value(found, "byom_lane_jobs_behind") == 1 + 2 + 3
    assert value(found, "byom_lane_jobs_behind", project=OTHER) == 1 + 2 + 3
    assert value(found, "byom_lane_jobs") == 10 + 9 + 8 + 7


def batch(number: int, *, state: str, provider: str = "gemini") -> BatchView:
    return BatchView(
        id=str(number),
        project="acme",
        connection="primary",
        provider=provider,
        model="gemini-2.5-flash-lite",
        state=state,
        jobs=number,
        items=2 * number,
        age=60.0 * number,
        vendor_id=None,
        outcome={},
        trouble=None,
        cancel=False,
        reserved=0,
    )


def test_batches_are_counted_by_state_and_jobs_that_can_wait_by_whether_one_has_them() -> None:
    waiting = [
        WaitingView(project="acme", connection=name, jobs=5, oldest_age=30.0 * len(name)) for name in ("a", "bb")
    ]
    views = [batch(1, state="open"), batch(2, state="open"), batch(4, state="ready", provider="anthropic")]
    found = samples(PoolCollector(boards(batches=MemoryBatches(views=views, lines=waiting))))

    assert value(found, "byom_batches", provider="gemini", state="open") == 2
    assert value(found, "byom_batches", state="ready") == 1
    assert value(found, "byom_batch_jobs", state="waiting") == 10
    assert value(found, "byom_batch_jobs", state="batched") == 7
    assert value(found, "byom_batch_oldest_seconds", state="waiting") == 60
    assert value(found, "byom_batch_oldest_seconds", state="batched") == 240


def test_jobs_that_wait_for_a_batch_are_found_in_the_broker(valkey_client: redis.Redis) -> None:
    line = Line("acme", "primary")
    seconds, _ = valkey_client.time()
    valkey_client.sadd(LINES, str(line))
    valkey_client.zadd(waiting_key(line), {"one": seconds - 100, "two": seconds})
    found = samples(PoolCollector(Boards.of(valkey_client)))

    assert value(found, "byom_batch_jobs", state="waiting") == 2
    assert value(found, "byom_batch_jobs", state="batched") == 0
    assert value(found, "byom_batch_oldest_seconds", state="waiting") >= 100
    assert value(found, "byom_scrape_ok", source="batches") == 1


def test_meters_show_breakers_limits_and_what_blocks_them_the_worst_first() -> None:
    found = samples(PoolCollector(boards(meters=MemoryMeters(busy_meters())), meters=2))

    assert value(found, "byom_meters") == 8
    assert [value(found, "byom_breakers", state=state) for state in ("closed", "open", "half_open")] == [7, 1, 0]
    # The open one and the one that waits for its vendor have series of their own; the others are only counted.
    shown = {dict(labels)["meter"] for name, labels in found if name == "byom_calls_in_flight"}
    assert shown == {
        "/byom/projects/hooli/credentials/main#gpt-6-luna",
        "/byom/projects/initech/credentials/main#gpt-4.1-mini",
    }
    assert value(found, "byom_breaker_open") == 1
    assert value(found, "byom_meter_blocked", reason="retry_after") == 1
    assert value(found, "byom_limit_per_minute", kind="declared", limit="tokens") == 180_000


def test_deliveries_to_webhooks_are_told_by_project_and_outcome_the_smaller_projects_together() -> None:
    webhooks = MemoryWebhooks(
        counted={("large", "delivered"): 90, ("large", "failed"): 2, ("small", "delivered"): 3, ("tiny", "retried"): 1},
        waiting=7,
        failing_receivers=2,
    )
    collector = PoolCollector(boards(webhooks=webhooks), projects=1)
    found = samples(collector)

    name = "byom_webhook_deliveries_total"
    assert [value(found, name, project="large", outcome=outcome) for outcome in ("delivered", "failed")] == [90, 2]
    assert [value(found, name, project=OTHER, outcome=outcome) for outcome in ("delivered", "retried")] == [3, 1]
    # What has not happened yet is there as 0, so that its first time shows.
    assert (name, (("outcome", "redelivered"), ("project", "large"))) in found
    assert value(found, "byom_webhook_deliveries_waiting") == 7
    assert value(found, "byom_webhook_receivers_failing") == 2

    # Whoever comes later and grows takes nobody's place: no counter may fall.
    webhooks.counted["late", "delivered"] = 1_000
    later = samples(collector)
    assert value(later, name, project="large", outcome="delivered") == 90
    assert value(later, name, project=OTHER, outcome="delivered") == 1_003


def test_dead_letters_are_counted_by_their_cause() -> None:
    found = samples(PoolCollector(boards()))

    assert value(found, "byom_dead_letters", cause="rate_limited") == 2
    assert value(found, "byom_dead_letters_dropped_total", reason="limit") == 5
    assert value(found, "byom_dead_letters_dropped_total", reason="expired") == 7
    assert value(found, "byom_scrape_ok", source="dead letters") == 1


def test_all_metrics_that_are_told_of_are_there_and_no_others() -> None:
    ledger = Ledger(acme=1)
    given = replace(
        ledger.given,
        meters=MemoryMeters(busy_meters()),
        lanes=MemoryLanes(busy_lanes()),
        batches=MemoryBatches(views=[batch(1, state="open")]),
    )
    found = {name for name, _ in samples(PoolCollector(given))}

    assert found == {metric.name for metric in names.POOL}


def test_the_page_of_metrics_is_one_that_prometheus_reads() -> None:
    given = replace(Ledger(acme=1).given, meters=MemoryMeters(busy_meters()), lanes=MemoryLanes(busy_lanes()))
    with site(given) as running:
        text = running.get("/metrics").text

    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert families["byom_attempts"] == "counter"
    assert families["byom_lane_jobs"] == "gauge"
    assert "flower_events" in families
    assert 'byom_scrape_ok{source="usage"} 1.0' in text


def test_an_empty_pool_can_be_read() -> None:
    found = samples(PoolCollector(boards()))

    assert [
        value(found, "byom_scrape_ok", source=source) for source in ("usage", "lanes", "batches", "meters", "webhooks")
    ] == [1] * 5
    assert value(found, "byom_meters") == 0


@pytest.mark.parametrize("metric", [*names.POOL, *names.WORKER], ids=lambda metric: str(metric.name))
def test_names_follow_the_customs_of_prometheus(metric: names.Metric) -> None:
    assert metric.name.startswith(("byom_", "gen_ai_"))
    assert metric.name.endswith("_total") == (metric.kind is names.Kind.COUNTER)
    assert metric.says.endswith(".")
    assert list(metric.buckets) == sorted(metric.buckets)
    assert bool(metric.buckets) == (metric.kind is names.Kind.HISTOGRAM)
