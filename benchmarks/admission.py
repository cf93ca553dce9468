"""`python -m benchmarks.admission`: who is let in when limits are scarce, and what asking costs.

Every scene plays on a Valkey, two workers and a simulated vendor that enforces the declared limits itself. Time is
scaled: 15,000 tokens a second and 20,000 at once make one minute of ten at the default of 1,500 a second. Latencies
depend on the machine, and on what else it does.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import scenes
from benchmarks.ground import Ground, cpu_seconds, ground, jobs
from config.connections import effective_chain
from tasks.contract import parse_job
from workers.app import create_app
from workers.embedded.simulator import Latency
from workers.intake import Accepted, Intake
from workers.messages import attempt_signature

#: Jobs in one measurement of costs.
_COSTED = 1_000

Figures = Mapping[str, float]


@contextmanager
def two_workers() -> Iterator[Ground]:
    """A pool with two workers."""
    with ground() as place:
        place.start_worker()
        place.start_worker()
        yield place


def saturation(options: argparse.Namespace, name: str) -> Figures:
    """Two workers, one credential."""
    with two_workers() as place:
        found = scenes.saturate(place, name, seconds=options.seconds, capacity=20_000, refill=15_000)
    return {
        "quota used, %": found.used * 100,
        "refused for the rate, %": found.refused * 100,
        "tokens over the limit, worst window": max(found.offered_excess, found.served_excess),
    }


def shares(_: argparse.Namespace, name: str) -> Figures:
    """Weights 1, 1 and 3 on one credential."""
    weights = {f"{name}-one": 1.0, f"{name}-other": 1.0, f"{name}-heavy": 3.0}
    with two_workers() as place:
        one, other, heavy = scenes.shares(place, name, weights, calls=500, refill=60_000).values()
    return {"equal weights: ratio of shares": one / other, "weight 3 : 1": heavy / ((one + other) / 2)}


def flood(options: argparse.Namespace, name: str) -> Figures:
    """A quiet project beside a flood of another."""
    with two_workers() as place:
        found = scenes.beside_flood(place, name, flood=options.flood, quiet=100)
    return {
        f"beside {options.flood:,} jobs, own credential: wait at p95, s": found["own"],
        f"beside {options.flood:,} jobs, same credential: wait at p95, s": found["same"],
        f"enqueueing {options.flood:,} jobs while both workers run, jobs/s": options.flood / found["enqueueing"],
    }


def slow(options: argparse.Namespace, name: str) -> Figures:
    """Ten requests a minute."""
    with two_workers() as place:
        found = scenes.slow_credential(place, name, backlog=options.slow)
    return {
        "40 jobs of another project, alone, s": found.alone,
        f"the same beside {options.slow:,} jobs at 10 RPM, s": found.beside,
        "of these, in the hands of workers": found.in_workers,
        "growth of a worker's memory, MB": found.grown / 1e6,
    }


def failover(_: argparse.Namespace, name: str) -> Figures:
    """The primary dies."""
    with two_workers() as place:
        found = scenes.fail_over(place, name, count=100)
    return {
        "primary dies: first success of the fallback, s": found.first_success,
        "breaker open: pick-up to pick-up for the fallback, p50, ms": found.handed_over_p50 * 1000,
        "breaker open: pick-up to pick-up for the fallback, p95, ms": found.handed_over_p95 * 1000,
    }


def costs(_: argparse.Namespace, name: str) -> Figures:
    """What a job costs the worker and Redis: with all, past the lanes, and without admission."""
    found: dict[str, float] = {}
    for label, app, in_lane in (
        ("lanes and admission", "workers.app", True),
        ("admission only", "workers.app", False),
        ("neither", "benchmarks.unmetered_app", False),
    ):
        with ground(latency=Latency.fixed(0.2)) as place:
            worker = place.start_worker(app)
            place.configure(name, tpm_capacity=1_000_000_000, rpm_capacity=1_000_000, max_concurrency=1_000)
            _run(place, name, 100, in_lane=in_lane)
            before, cpu, server = _commands(place), cpu_seconds(worker.pid), _server_cpu(place)
            _run(place, name, _COSTED, in_lane=in_lane)
            after = _commands(place)
            found[f"{label}: worker CPU per job, ms"] = (cpu_seconds(worker.pid) - cpu) / _COSTED * 1000
            found[f"{label}: Redis CPU per job, ms"] = (_server_cpu(place) - server) / _COSTED * 1000
            scripts, ran = (now - then for now, then in zip(after, before, strict=True))
            found[f"{label}: scripts run in Redis per job"] = scripts / _COSTED
            found[f"{label}: commands run in Redis per job, those of scripts included"] = ran / _COSTED
    return found


def _run(place: Ground, project: str, count: int, *, in_lane: bool) -> None:
    """Enqueue jobs and wait for all; their producer's own share of Redis is the same in all arms but for the lane."""
    if in_lane:
        with place.producer() as producer:
            for handle in list(producer.enqueue_many(jobs(project, count))):
                handle.result(timeout=120)
        return
    app = create_app(place.settings)
    chain = effective_chain(place.store, project)
    producer_settings = place.producer()
    intake: Intake = producer_settings._intake  # noqa: SLF001 - the producer's own way in, but past the lanes
    results: list[Any] = []
    for payload in jobs(project, count):
        job = parse_job(payload)
        job_id = f"{chain[0].project}-{len(results)}-{count}"
        accepted = intake.accept(job, job_id=job_id)
        if isinstance(accepted, Accepted):
            signature = attempt_signature(app, payload, accepted.route, None, job_id=job_id)
            results.append(signature.apply_async(task_id=job_id))
    for result in results:
        result.get(timeout=120)
    producer_settings.close()
    app.close()


def _commands(place: Ground) -> tuple[int, int]:
    """Scripts, and commands of all kinds, that Redis has run so far."""
    calls = {name: int(row["calls"]) for name, row in place.client.info("commandstats").items()}
    return calls.get("cmdstat_evalsha", 0) + calls.get("cmdstat_eval", 0), sum(calls.values())


def _server_cpu(place: Ground) -> float:
    told = place.client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


SCENES: dict[str, Callable[[argparse.Namespace, str], Figures]] = {
    "saturation": saturation,
    "shares": shares,
    "flood": flood,
    "slow": slow,
    "failover": failover,
    "costs": costs,
}


def main() -> None:
    """Play the scenes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", choices=[[], *SCENES], help="all, unless named")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="length of the saturation scene")
    parser.add_argument("--flood", type=int, default=100_000, help="jobs of the flood")
    parser.add_argument("--slow", type=int, default=10_000, help="jobs that wait at 10 RPM")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {}
    console = Console(width=120)
    for repeat in range(options.repeats):
        for name in options.scenes or SCENES:
            for what, figure in SCENES[name](options, f"{name}-{repeat}").items():
                taken.setdefault(what, []).append(figure)
                console.print(f"[dim]{repeat + 1}/{options.repeats} {what}: {figure:.3f}[/]")
    table = Table("what", "min", "median", "max", title=f"Admission, {options.repeats} repeats")
    for what, figures in taken.items():
        table.add_row(what, *(f"{figure:.3f}" for figure in (min(figures), statistics.median(figures), max(figures))))
    console.print(table)


if __name__ == "__main__":
    main()
