"""Metrics of the pool as a whole, read when Prometheus asks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import redis
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from config.prices import PICO
from workers.lanes.views import LaneView
from workers.monitoring.boards import Boards
from workers.monitoring.metrics import names
from workers.monitoring.metrics.slots import OTHER
from workers.monitoring.metrics.usage import UsageCounters
from workers.monitoring.pool.meters import MeterReading
from workers.monitoring.pool.webhooks import OUTCOMES

#: Values of a label beyond which all others share one: projects in usage and in lanes, and meters.
PROJECTS = 100
METERS = 100

#: Takes values with `add_metric`.
Family = CounterMetricFamily | GaugeMetricFamily

_log = structlog.get_logger(__name__)


class PoolCollector:
    """Collects from all sources; one that does not answer takes only its own metrics away."""

    def __init__(self, boards: Boards, *, projects: int = PROJECTS, meters: int = METERS) -> None:
        self._boards = boards
        self._projects = projects
        self._meters = meters
        self._usage = UsageCounters(boards.hours, clock=boards.clock, projects=projects)
        #: Projects whose deliveries have series of their own; a place is never given up, so that no counter falls.
        self._receivers: dict[str, None] = {}

    def begin(self) -> None:
        """Count usage from now on, and not only from the first time that somebody asks.

        Raises:
            redis.RedisError: it cannot be read yet.
        """
        self._usage.read()

    def describe(self) -> Iterable[Family]:
        """What there is, without asking anybody."""
        return [_family(metric) for metric in names.POOL]

    def collect(self) -> Iterator[Family]:
        """All metrics as they stand."""
        ok = _family(names.SCRAPE_OK)
        sources: dict[str, Callable[[], list[Family]]] = {
            "usage": self._of_usage,
            "lanes": self._of_lanes,
            "batches": self._of_batches,
            "meters": self._of_meters,
            "webhooks": self._of_webhooks,
            "dead letters": self._of_letters,
        }
        for source, read in sources.items():
            try:
                families = read()
            except redis.RedisError as error:
                _log.warning("metrics_not_read", source=source, error=type(error).__name__)
                families = []
            ok.add_metric([source], 1 if families else 0)
            yield from families
        yield ok

    def _of_usage(self) -> list[Family]:
        attempts, tokens = _family(names.ATTEMPTS), _family(names.TOKENS)
        others = {
            metric.name: _family(metric)
            for metric in (names.REASONING, names.COST, names.UNPRICED, names.CALL_SECONDS, names.WAIT_SECONDS)
        }
        sums_of = self._usage.read()
        for labels, sums in sums_of.items():
            attempts.add_metric([*labels, "ok"], sums.attempts - sums.failed)
            attempts.add_metric([*labels, "failed"], sums.failed)
        together: dict[tuple[str, str, str], list[float]] = {}
        for labels, sums in sums_of.items():
            row = together.setdefault(labels[:3], [0] * 9)
            values = (
                sums.input, sums.cached_input, sums.cache_write, sums.output,
                sums.reasoning, sums.cost / PICO, sums.unpriced, sums.latency_ms / 1000, sums.queue_wait_ms / 1000,
            )  # fmt: skip
            together[labels[:3]] = [old + new for old, new in zip(row, values, strict=True)]
        for key, row in together.items():
            for kind, amount in zip(("input", "cached_input", "cache_write", "output"), row[:4], strict=True):
                tokens.add_metric([*key, kind], amount)
            for family, amount in zip(others.values(), row[4:], strict=True):
                family.add_metric([*key], amount)
        return [attempts, tokens, *others.values()]

    def _of_lanes(self) -> list[Family]:
        jobs, behind, tokens, oldest = (
            _family(metric) for metric in (names.LANE_JOBS, names.LANE_BEHIND, names.LANE_TOKENS, names.LANE_OLDEST)
        )
        pauses = _family(names.PAUSES)
        for lane in _largest(self._boards.lanes.lanes(), self._projects):
            labels = [lane.queue, lane.priority, lane.project]
            jobs.add_metric(labels, lane.depth)
            behind.add_metric(labels, lane.behind)
            tokens.add_metric(labels, lane.tokens)
            oldest.add_metric(labels, lane.oldest_age)
        paused = [pause.priority for pause in self._boards.lanes.pauses()]
        for priority in ("live", "backfill"):
            pauses.add_metric([priority], paused.count(priority))
        return [jobs, behind, tokens, oldest, pauses]

    def _of_batches(self) -> list[Family]:
        batches, jobs, oldest = (_family(metric) for metric in (names.BATCHES, names.BATCH_JOBS, names.BATCH_OLDEST))
        views, waiting = self._boards.batches.batches(), self._boards.batches.waiting()
        for (provider, state), count in sorted(Counter((view.provider, view.state) for view in views).items()):
            batches.add_metric([provider, state], count)
        jobs.add_metric(["waiting"], sum(line.jobs for line in waiting))
        jobs.add_metric(["batched"], sum(view.jobs for view in views))
        oldest.add_metric(["waiting"], max((line.oldest_age for line in waiting), default=0.0))
        oldest.add_metric(["batched"], max((view.age for view in views), default=0.0))
        return [batches, jobs, oldest]

    def _of_meters(self) -> list[Family]:
        families = {
            metric.name: _family(metric)
            for metric in (
                names.METERS, names.BREAKERS, names.BREAKER_OPEN, names.BLOCKED, names.LIMIT, names.LIMIT_USED,
                names.IN_FLIGHT,
            )
        }  # fmt: skip
        readings = self._boards.meters.readings()
        families[names.METERS.name].add_metric([], len(readings))
        for state in ("closed", "open", "half_open"):
            families[names.BREAKERS.name].add_metric([state], sum(reading.breaker == state for reading in readings))
        worst = sorted(readings, key=lambda one: (one.breaker == "closed", one.blocked_by is None, -one.in_flight))
        for reading in worst[: self._meters]:
            _meter(reading, families)
        return list(families.values())

    def _of_webhooks(self) -> list[Family]:
        board = self._boards.webhooks
        deliveries, waiting, failing = (
            _family(metric) for metric in (names.DELIVERIES, names.DELIVERIES_WAITING, names.RECEIVERS_FAILING)
        )
        counts = board.counts()
        of_projects = Counter[str]()
        for (project, _), count in counts.items():
            of_projects[project] += count
        for project, _ in of_projects.most_common():
            if len(self._receivers) < self._projects:
                self._receivers.setdefault(project)
        # A series that is there from the beginning shows its first increase.
        together = {(project, outcome): 0 for project in (*self._receivers, OTHER) for outcome in OUTCOMES}
        for (project, outcome), count in counts.items():
            key = (project if project in self._receivers else OTHER, outcome)
            together[key] = together.get(key, 0) + count
        for labels, count in together.items():
            deliveries.add_metric(labels, count)
        waiting.add_metric([], board.waiting_in_all())
        failing.add_metric([], board.failing())
        return [deliveries, waiting, failing]

    def _of_letters(self) -> list[Family]:
        dead, dropped = _family(names.DEAD), _family(names.DEAD_DROPPED)
        census = self._boards.letters.census()
        for cause, count in census.causes.items():
            dead.add_metric([cause], count)
        dropped.add_metric(["limit"], census.dropped)
        dropped.add_metric(["expired"], census.expired)
        return [dead, dropped]


def _meter(reading: MeterReading, families: dict[str, Family]) -> None:
    labels = [reading.tenant, reading.meter]
    families[names.BREAKER_OPEN.name].add_metric(labels, int(reading.breaker != "closed"))
    families[names.IN_FLIGHT.name].add_metric(labels, reading.in_flight)
    if reading.blocked_by:
        families[names.BLOCKED.name].add_metric([*labels, reading.blocked_by], 1)
    for limit in reading.limits:
        name = limit.name.replace(" ", "_")
        families[names.LIMIT.name].add_metric([*labels, name, "declared"], limit.per_minute)
        families[names.LIMIT.name].add_metric([*labels, name, "learned"], limit.learned_per_minute)
        families[names.LIMIT_USED.name].add_metric([*labels, name], limit.used)


def _largest(lanes: Sequence[LaneView], projects: int) -> list[LaneView]:
    """One row per queue, priority and project, the smaller projects together."""
    depths: dict[str, int] = {}
    for lane in lanes:
        depths[lane.project] = depths.get(lane.project, 0) + lane.depth
    named = set(sorted(depths, key=lambda project: (-depths[project], project))[:projects])
    rows: dict[tuple[str, str, str], LaneView] = {}
    for lane in lanes:
        project = lane.project if lane.project in named else OTHER
        key = (lane.queue, lane.priority, project)
        there = rows.get(key)
        rows[key] = replace(
            lane,
            project=project,
            depth=lane.depth + (there.depth if there else 0),
            behind=lane.behind + (there.behind if there else 0),
            tokens=lane.tokens + (there.tokens if there else 0),
            oldest_age=max(lane.oldest_age, there.oldest_age if there else 0.0),
        )
    return list(rows.values())


def _family(metric: names.Metric) -> Family:
    if metric.kind is names.Kind.COUNTER:
        return CounterMetricFamily(metric.name, metric.says, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.says, labels=metric.labels)
