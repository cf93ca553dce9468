"""How costs grow with the number of projects, of connections, and of jobs that wait."""

import time

import redis

from benchmarks.families.costs import LATENCY, all_called, stopped
from benchmarks.ground import TEXT, UNBOUND, Ground, ground, jobs, most_resident_bytes, resident_bytes, wait_for
from benchmarks.many_projects_app import ManyProjects
from benchmarks.rows import Figure, Measured, Row, Sizes
from benchmarks.spent import Spent, figures, values
from workers.app import create_app
from workers.enqueue.producer import Producer
from workers.lanes.control import EVERY
from workers.lanes.views import list_lanes

_COSTS = ("worker_cpu", "redis_cpu", "commands")


def _all_projects(place: Ground, producer: Producer, *, first: int, count: int, projects: int) -> Spent:
    """Do so many jobs of one project after the other, enqueued before; what that took."""
    with stopped(place):
        for _ in producer.enqueue_many(
            {"project": f"many-{number % projects}", "episodes": [{"id": "e1", "content": TEXT.format(number=number)}]}
            for number in range(first, first + count)
        ):
            pass
        before = Spent.so_far(place)
    all_called(place, first + count)
    return Spent.so_far(place).since(before)


def _projects(sizes: Sizes) -> Measured:
    projects, connections, count = sizes["projects"], sizes["connections"], sizes["jobs"]
    extra = {"BYOM_CONCURRENCY": "100", "BYOM_CONFIG_CACHE_TTL": "3600", "BENCH_CONNECTIONS": str(connections)}
    with ground(latency=LATENCY, extra=extra) as place:
        url = place.simulator.base_urls["openai"]
        place.extra["BENCH_BASE_URL"] = url
        worker = place.start_worker("benchmarks.many_projects_app")
        with Producer(
            app=create_app(place.settings),
            store=ManyProjects(url, connections=connections),
            client=redis.Redis.from_url(place.valkey.url),
            settings=place.settings,
        ) as producer:
            started = resident_bytes(worker.pid)
            # At least as many as warm a worker up.
            cold = max(projects, 100)
            first = _all_projects(place, producer, first=0, count=cold, projects=projects).per(cold)
            known = resident_bytes(worker.pid)
            then = _all_projects(place, producer, first=cold, count=count, projects=projects).per(count)
        memory = most_resident_bytes(worker.pid)
    return Measured(
        values={
            **values("", then, _COSTS),
            **values("first_", first, _COSTS),
            "grown": (known - started) / 1e6,
            "memory": memory / 1e6,
            "kept": first["kept"],
        }
    )


def _projects_row(name: str, projects: int, connections: int, *, repeats: int = 3) -> Row:
    who = "{projects:,} projects" + (" of {connections} connections" if connections > 1 else "")
    return Row(
        name=name,
        how="one worker that has met {projects:,} projects of {connections} connections each, every one with meters of "
        "its own: the first job of each, then {jobs:,} jobs in turn; the store costs nothing",
        figures={
            **figures("", f"per job after enqueueing, {who}", _COSTS),
            **figures("first_", f"of the first job of a project, {who}", _COSTS),
            "grown": Figure(what=f"memory of the worker that the first jobs added, {who}", form="{:,.1f} MB"),
            "memory": Figure(what=f"memory of the worker at most, {who}", form="{:,.0f} MB"),
            "kept": Figure(what=f"bytes that stay in Redis of the first job of a project, {who}", form="{:,.0f}"),
        },
        measure=_projects,
        full={"projects": projects, "connections": connections, "jobs": 2_000},
        quick={"projects": 3, "jobs": 20},
        repeats=repeats,
    )


def _backlog(sizes: Sizes) -> Measured:
    depth, projects, served = sizes["jobs"], sizes["projects"], sizes["served"]
    with ground(latency=LATENCY, extra={"BYOM_CONCURRENCY": "100"}) as place, place.producer() as producer:
        for number in range(projects):
            place.configure(f"backlog-{number}", **UNBOUND)
        worker = place.start_worker()
        for handle in list(producer.enqueue_many(jobs("backlog-0", 100))):
            handle.result(timeout=120)
        place.fresh_books()
        before = Spent.so_far(place)
        with stopped(place):
            began = time.monotonic()
            for number in range(projects):
                for _ in producer.enqueue_many(jobs(f"backlog-{number}", depth // projects)):
                    pass
            rate = depth / (time.monotonic() - began)
            waiting = Spent.so_far(place)
            resident = int(place.client.info("memory")["used_memory_rss"])
            began = time.monotonic()
            list_lanes(place.client, EVERY)
            viewed = time.monotonic() - began
            start, called = Spent.so_far(place), place.books().served
        began = time.monotonic()
        wait_for(lambda: place.books().served >= called + served, seconds=600)
        seconds = time.monotonic() - began
        done, answered = Spent.so_far(place), place.books().served - called
        memory = most_resident_bytes(worker.pid)
        worker.kill()
    return Measured(
        values={
            **values("", done.since(start).per(answered), _COSTS),
            "waiting": waiting.since(before).memory / depth,
            "resident": resident / 1e6,
            "rate": rate,
            "viewed": viewed * 1000,
            "served": answered / seconds,
            "memory": memory / 1e6,
        }
    )


def _backlog_row(name: str, depth: int, *, repeats: int = 3) -> Row:
    who = "beside {jobs:,} that wait"
    return Row(
        name=name,
        how="{jobs:,} jobs of {projects} projects are enqueued while the worker is stopped; then it does {served:,}",
        figures={
            **figures("", f"per job {who}", _COSTS),
            "waiting": Figure(what="bytes in Redis of a job, {jobs:,} of which wait", form="{:,.0f}"),
            "resident": Figure(what="memory of Redis with {jobs:,} jobs that wait", form="{:,.0f} MB"),
            "rate": Figure(what="enqueueing {jobs:,} jobs, jobs/s", form="{:,.0f}"),
            "served": Figure(what=f"jobs per second {who}", form="{:,.0f}"),
            "viewed": Figure(what="all lanes listed, {jobs:,} jobs", form="{:.1f} ms"),
            "memory": Figure(what=f"memory of the worker at most {who}", form="{:,.0f} MB"),
        },
        measure=_backlog,
        full={"jobs": depth, "projects": 10, "served": 1_000},
        quick={"jobs": 100, "projects": 2, "served": 20},
        repeats=repeats,
    )


ROWS = (
    _projects_row("projects-10", 10, 1),
    _projects_row("projects-100", 100, 1),
    _projects_row("projects-1k", 1_000, 1),
    _projects_row("projects-10k", 10_000, 1, repeats=1),
    _projects_row("connections", 100, 10),
    _backlog_row("backlog-1k", 1_000),
    _backlog_row("backlog-10k", 10_000),
    _backlog_row("backlog-100k", 100_000),
    _backlog_row("backlog-1m", 1_000_000, repeats=1),
)
