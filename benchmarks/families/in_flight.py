"""How many calls one process has under way, and what memory that takes."""

from collections.abc import Sequence

from benchmarks.ground import UNBOUND, cpu_seconds, ground, jobs, most_resident_bytes
from benchmarks.messages import message_jobs
from benchmarks.rows import Figure, Measured, Row, Sizes, at_least, at_most
from workers.embedded.simulator import Latency

_PROJECT = "many"


def most_at_once(arrivals: Sequence[float], seconds: float) -> int:
    """The most calls that were under way at once, by when each came, if each took at least so many seconds."""
    times, most, first = sorted(arrivals), 0, 0
    for number, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


def _measure(sizes: Sizes) -> Measured:
    latency, slots, episodes = sizes["latency"], sizes["slots"], sizes["episodes"]
    count = sizes["calls"] // episodes
    extra = {"BYOM_CONCURRENCY": str(slots), "BYOM_MAX_CALLS": str(slots)}
    with ground(latency=Latency.fixed(latency), extra=extra) as place, place.producer() as producer:
        place.configure(_PROJECT, **UNBOUND)
        worker = place.start_worker()
        for handle in list(producer.enqueue_many(jobs(_PROJECT, 5))):
            handle.result(timeout=60)
        place.fresh_books()
        # All wait before the first is begun, as a backlog does.
        place.lanes.pause(project=_PROJECT)
        handles = list(producer.enqueue_many(message_jobs(_PROJECT, count, episodes=episodes)))
        before = cpu_seconds(worker.pid)
        place.lanes.resume(project=_PROJECT)
        for handle in handles:
            handle.result(timeout=600)
        cpu = cpu_seconds(worker.pid) - before
        memory = most_resident_bytes(worker.pid)
        arrivals = [call.time for call in place.calls(_PROJECT)]
    return Measured(
        values={
            "in_flight": most_at_once(arrivals, latency),
            "memory": memory / 1e6,
            "rate": len(arrivals) / (max(arrivals) - min(arrivals) + latency),
            "cpu": cpu / len(arrivals) * 1000,
        }
    )


def _row(name: str, what: str, *, episodes: int, latency: int = 2, goal: bool = True) -> Row:
    return Row(
        name=name,
        how=f"one worker of {{slots}} slots and a backlog of jobs of {what}; calls in flight by when they came to the "
        "simulated vendor, memory as the most that the process ever had",
        figures={
            "in_flight": Figure(
                what=f"calls in flight in one process, {what} a job, {{latency}} s a call",
                form="{:,.0f}",
                reach=at_least(1_000) if goal else None,
            ),
            "memory": Figure(
                what=f"its memory at most, {what} a job", form="{:,.0f} MB", reach=at_most(250) if goal else None
            ),
            "rate": Figure(what=f"calls per second, {what} a job", form="{:,.0f}"),
            "cpu": Figure(what=f"CPU per call, {what} a job", form="{:.2f} ms"),
        },
        measure=_measure,
        full={"calls": 5_000, "slots": 1_000, "latency": latency, "episodes": episodes},
        quick={"calls": 100, "slots": 20, "latency": 1},
    )


ROWS = (
    _row("in-flight", "one episode", episodes=1),
    _row("in-flight-ten", "ten episodes", episodes=10),
)

#: Where a call costs the worker 4 ms of CPU, 500 come in 2 s, and no more can be under way. With calls that take long
#: enough it shows what a worker can have in hand.
BEYOND = (_row("in-flight-slow", "one episode", episodes=1, latency=20, goal=False),)
