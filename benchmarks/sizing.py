"""What a deployment needs for so many calls a second, from what jobs were measured to cost."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.growth_tables import tables
from benchmarks.render import machine
from benchmarks.results import Results, RowResult

RATES = (10, 100, 1_000)
#: Seconds of a call.
LATENCY = 2.0
#: Share of a core that is used in the mean: the rest is for peaks.
USED = 0.7
#: Two, so that one may be replaced while the other works.
_FEWEST_WORKERS = 2
_HOUR, _DAY = 3_600, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Medians of what was measured, by call."""

    episodes: int
    #: CPU seconds.
    worker: float
    redis: float
    #: Bytes in Redis: of a call whose job waits, and what stays of one for an hour and for a day.
    waiting: float
    hour: float
    day: float
    #: Bytes in Redis whatever the rate: records and events up to their number.
    bounded: float
    #: Bytes of a worker at most.
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What so many calls a second take."""

    in_flight: int
    workers: int
    concurrency: int
    cores: float
    #: Bytes of all workers.
    memory: float
    redis_cores: float
    #: Servers of which none is busier than `USED`.
    redis_servers: int
    #: Bytes of Redis: with results kept a day, with results kept an hour, and beside either when an hour's jobs wait.
    redis_day: float
    redis_hour: float
    redis_backlog: float


def needs(costs: Costs, rate: float) -> Needs:
    """What a rate takes, in calls a second."""
    in_flight = math.ceil(rate * LATENCY)
    cores = rate * costs.worker
    workers = max(_FEWEST_WORKERS, math.ceil(cores / USED))
    jobs_in_flight = in_flight / costs.episodes / workers
    hourly = rate * _HOUR
    return Needs(
        in_flight=in_flight,
        workers=workers,
        # Half as many again, for jobs that are being begun and ended; in tens.
        concurrency=max(20, math.ceil(jobs_in_flight * 1.5 / 10) * 10),
        cores=cores,
        memory=workers * costs.memory,
        redis_cores=rate * costs.redis,
        redis_servers=math.ceil(rate * costs.redis / USED),
        redis_day=hourly * costs.hour + rate * _DAY * costs.day + costs.bounded,
        redis_hour=hourly * (costs.hour + costs.day) + costs.bounded,
        redis_backlog=hourly * costs.waiting,
    )


def latest(runs: Sequence[Results]) -> list[RowResult]:
    """Of each row that was measured its last results."""
    found: dict[str, RowResult] = {}
    for run in runs:
        found |= {row.name: row for row in run.rows if any(line.values for line in row.lines)}
    return list(found.values())


def costs_of(rows: Sequence[RowResult]) -> tuple[Costs, Costs]:
    """With one episode a job, and with ten.

    Raises:
        ValueError: a row is missing that it takes.
    """
    found = {(row.name, line.key): line.spread[1] for row in rows for line in row.lines if line.values}
    try:
        return _costs(found, "costs", 1), _costs(found, "costs-ten", 10)
    except KeyError as error:
        raise ValueError(
            f"the results have no {' '.join(error.args[0])}: measure with `scale`, all rows of it"
        ) from None


def _costs(found: Mapping[tuple[str, str], float], row: str, episodes: int) -> Costs:
    kept = found["kept", "hour"] + found["kept", "day"]
    # What stays of a job of several episodes was measured as a whole; it is shared out as with one.
    more = (found[row, "kept"] / episodes) / found["costs", "kept"]
    return Costs(
        episodes=episodes,
        worker=found[row, "worker_cpu"] / 1e3 / episodes,
        redis=found[row, "redis_cpu"] / 1e6 / episodes,
        waiting=found[row, "waiting"] / episodes,
        hour=kept * more * found["kept", "hour"] / kept,
        day=kept * more * found["kept", "day"] / kept,
        bounded=found["kept", "bounded"] * 100_000,
        memory=found[row, "memory"] * 1e6,
    )


def markdown(runs: Sequence[Results]) -> str:
    """The table for operators, and how costs grow; a later run counts more than an earlier one."""
    return "\n".join(_lines(runs)) + "\n"


def _lines(runs: Sequence[Results]) -> Iterator[str]:
    rows = latest(runs)
    for run in runs:
        if names := [f"`{row.name}`" for row in run.rows if row in rows]:
            yield f"* {', '.join(names)}: measured {machine(run)}."
    yield ""
    yield (
        "| calls/s | episodes a job | in flight | workers | `BYOM_CONCURRENCY` | cores for workers | their memory | "
        "cores for Redis | Redis servers | Redis, results kept a day | kept an hour | more when an hour's jobs wait |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for costs in costs_of(rows):
        for rate in RATES:
            it = needs(costs, rate)
            cells = (
                f"{rate:,}",
                f"{costs.episodes}",
                f"{it.in_flight:,}",
                f"{it.workers}",
                f"{it.concurrency}",
                f"{it.cores:.1f}",
                _bytes(it.memory),
                f"{it.redis_cores:.2f}",
                f"{it.redis_servers}",
                _bytes(it.redis_day),
                _bytes(it.redis_hour),
                _bytes(it.redis_backlog),
            )
            yield f"| {' | '.join(cells)} |"
    yield from tables(rows)


def _bytes(amount: float) -> str:
    return f"{amount / 1e9:.1f} GB"
