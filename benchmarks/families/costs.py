"""What a job costs the worker and Redis, and how that grows with what there is.

Jobs are enqueued while the workers are stopped, and then done: what enqueueing takes and what the rest takes are told
apart, and every job has waited, as in a backlog. Whoever waits for the end asks the simulated vendor, not Redis.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.ground import UNBOUND, Ground, ground, jobs, most_resident_bytes, wait_for
from benchmarks.messages import message_jobs
from benchmarks.rows import Figure, Measured, Row, Sizes
from benchmarks.spent import Spent, figures, values
from workers.embedded.simulator import Latency
from workers.embedded.valkey import EmbeddedValkey

_ALL = ("worker_cpu", "redis_cpu", "commands", "scripts", "received", "sent", "kept")
_ENQUEUED = ("redis_cpu", "commands", "received")
#: Seconds that any stretch of work may take.
_LONGEST = 3_600
LATENCY = Latency.fixed(0.5)


@contextmanager
def stopped(place: Ground) -> Iterator[None]:
    """Nothing is fetched while the block runs."""
    for worker in place.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in place.workers:
            os.kill(worker.pid, signal.SIGCONT)


def all_called(place: Ground, count: int) -> None:
    """Wait until so many calls were answered, and their jobs are over."""
    wait_for(lambda: place.books().served >= count, seconds=_LONGEST, every=0.1)
    wait_for(lambda: not place.client.exists("byom.unacked"), seconds=_LONGEST, every=0.05)


def _measure(sizes: Sizes, *, app: str = "workers.app", results_url: str = "") -> Measured:
    count, episodes = sizes["jobs"], sizes["episodes"]
    with ground(latency=LATENCY, extra={"BYOM_CONCURRENCY": "100"}) as place, place.producer() as producer:
        place.configure("costs", **UNBOUND)
        if results_url:
            place.extra["BYOM_RESULT_URL"] = results_url
        worker, warming = place.start_worker(app), max(5, 100 // episodes)
        for _ in producer.enqueue_many(message_jobs("costs", warming, episodes=episodes)):
            pass
        all_called(place, warming * episodes)
        place.fresh_books()
        before = Spent.so_far(place)
        with stopped(place):
            began = time.monotonic()
            for _ in producer.enqueue_many(message_jobs("costs", count, episodes=episodes)):
                pass
            enqueueing = time.monotonic() - began
            enqueued = Spent.so_far(place)
            waiting = enqueued.since(before).memory / count
        all_called(place, count * episodes)
        done = Spent.so_far(place)
        memory = most_resident_bytes(worker.pid)
    per_job, put, taken = (
        spent.since(start).per(count) for spent, start in ((done, before), (enqueued, before), (done, enqueued))
    )
    return Measured(
        values={
            **values("", per_job, _ALL),
            **values("put_", put, _ENQUEUED),
            "waiting": waiting,
            "memory": memory / 1e6,
            "redis_full": 1e6 / per_job["redis_cpu"],
            "rate": count / enqueueing,
            "taken_commands": taken["commands"],
        }
    )


def _unmetered(sizes: Sizes) -> Measured:
    return _measure(sizes, app="benchmarks.unmetered_app")


def _results_apart(sizes: Sizes) -> Measured:
    with EmbeddedValkey() as other:
        return _measure(sizes, results_url=other.url)


def _cost_figures(what: str) -> Mapping[str, Figure]:
    return {
        **figures("", f"per job {what}", _ALL),
        "redis_full": Figure(what=f"jobs per second {what} that keep one core busy with Redis", form="{:,.0f}"),
        **figures("put_", f"per job {what}: enqueueing", _ENQUEUED),
        "taken_commands": Figure(what=f"commands in Redis per job {what}: all after that", form="{:,.1f}"),
        "waiting": Figure(what=f"bytes in Redis of a job {what} that waits", form="{:,.0f}"),
        "rate": Figure(what=f"enqueueing, workers stopped, jobs/s {what}", form="{:,.0f}"),
        "memory": Figure(what="memory of the worker at most", form="{:,.0f} MB"),
    }


def _workers(sizes: Sizes) -> Measured:
    count, number = sizes["jobs"], sizes["workers"]
    with ground(latency=LATENCY, extra={"BYOM_CONCURRENCY": "100"}) as place, place.producer() as producer:
        place.configure("costs", **UNBOUND)
        for _ in range(number):
            place.start_worker()
        for handle in list(producer.enqueue_many(jobs("costs", 100))):
            handle.result(timeout=120)
        place.fresh_books()
        idle_before, began = Spent.so_far(place), time.monotonic()
        time.sleep(sizes["idle"])
        idle = Spent.so_far(place).since(idle_before).per(1)
        rested = (time.monotonic() - began) * number
        with stopped(place):
            for _ in producer.enqueue_many(jobs("costs", count)):
                pass
            before = Spent.so_far(place)
        began = time.monotonic()
        all_called(place, count)
        seconds = time.monotonic() - began
        done = Spent.so_far(place).since(before).per(count)
    return Measured(
        values={
            **values("", done, ("worker_cpu", "redis_cpu", "commands")),
            "rate": count / seconds,
            "idle_worker": idle["worker_cpu"] / 1e3 / rested * 100,
            "idle_redis": idle["redis_cpu"] / 1e6 / rested * 100,
            "idle_commands": idle["commands"] / rested,
        }
    )


def _workers_row(number: int) -> Row:
    who = f"with {number} worker{'s' if number > 1 else ''}"
    return Row(
        name=f"workers-{number}",
        how="{jobs:,} waiting jobs of one project, done by {workers} workers of 100 slots at 0.5 s a call; workers, "
        "Redis and the simulated vendor share the machine's cores",
        figures={
            **figures("", f"per job after enqueueing, {who}", ("worker_cpu", "redis_cpu", "commands")),
            "rate": Figure(what=f"jobs per second {who}", form="{:,.0f}"),
            "idle_worker": Figure(what=f"CPU of an idle worker, {who}", form="{:.2f} %"),
            "idle_redis": Figure(what=f"CPU of Redis for an idle worker, {who}", form="{:.2f} %"),
            "idle_commands": Figure(what=f"commands per second of an idle worker, {who}", form="{:,.1f}"),
        },
        measure=_workers,
        full={"jobs": 2_000, "workers": number, "idle": 10},
        quick={"jobs": 30, "idle": 1},
    )


ROWS = (
    Row(
        name="costs",
        how="{jobs:,} jobs of one episode in one worker, enqueueing included",
        figures=_cost_figures("of one episode"),
        measure=_measure,
        full={"jobs": 2_000, "episodes": 1},
        quick={"jobs": 30},
    ),
    Row(
        name="costs-ten",
        how="{jobs:,} jobs of ten episodes in one worker, enqueueing included",
        figures=_cost_figures("of ten episodes"),
        measure=_measure,
        full={"jobs": 300, "episodes": 10},
        quick={"jobs": 5},
    ),
    Row(
        name="costs-unmetered",
        how="as costs, but whoever asks may call: the difference is what admission costs",
        figures=figures("", "per job without admission", ("worker_cpu", "redis_cpu", "commands", "scripts")),
        measure=_unmetered,
        full={"jobs": 2_000, "episodes": 1},
        quick={"jobs": 30},
    ),
    Row(
        name="costs-apart",
        how="as costs, with results on a Redis of their own; what the other one still has to do",
        figures=figures("", "per job, results elsewhere", ("worker_cpu", "redis_cpu", "commands", "scripts", "kept")),
        measure=_results_apart,
        full={"jobs": 2_000, "episodes": 1},
        quick={"jobs": 30},
    ),
    *(_workers_row(number) for number in (1, 2, 4)),
)
