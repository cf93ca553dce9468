"""What happens to whom when limits are scarce: each scene plays on a running pool and returns what was measured.

Amounts are the simulated vendor's own books: what came, when, and in which window a limit was exceeded most.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.ground import Ground, jobs, percentile, resident_bytes, wait_for
from workers.app import create_app
from workers.embedded.simulator import FaultRule, Injection, fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """How much of a limit a backlog used."""

    #: Share of capacity + refill x time that was served.
    used: float
    #: Share of all calls that the vendor refused for their rate.
    refused: float
    calls: int
    #: Tokens beyond the limit in the worst window, of what came and of what was let in.
    offered_excess: float
    served_excess: float


def saturate(ground: Ground, project: str, *, seconds: float, capacity: int, refill: int) -> Saturation:
    """Let a backlog wait for one credential whose vendor grants exactly what is declared, and charges what is used.

    Args:
        ground: with as many workers as are to share the credential.
        project: a name that no scene has used.
        seconds: how long to look.
        capacity: tokens at once.
        refill: tokens per second.
    """
    key = ground.configure(
        project,
        tpm_capacity=capacity,
        tpm_refill_per_second=refill,
        vendor={"tpm": refill * 60, "tpm_burst": capacity},
    )
    tokens = ground.warm_up(project)
    ground.lanes.pause(project=project)
    with ground.producer() as producer:
        for _ in producer.enqueue_many(jobs(project, round(1.2 * (capacity + refill * seconds) / tokens))):
            pass
    time.sleep(capacity / refill)
    ground.simulator.reset()
    ground.lanes.resume(project=project)
    wait_for(lambda: ground.served(key), every=0.01)
    began = ground.calls(project)[0].time
    time.sleep(max(0, began + seconds - time.time()))
    books = ground.books()
    (meter,) = [meter for meter in books.meters if meter.key == fingerprint(key)]
    calls = [call for call in ground.calls(project) if call.time <= began + seconds]
    waiting = ground.lanes.waiting(project)
    ground.drain()
    if not waiting:
        raise RuntimeError("the backlog was too small to measure with")
    served = sum(call.usage.total for call in calls)
    return Saturation(
        used=served / (capacity + refill * seconds),
        refused=sum(call.status == 429 for call in calls) / len(calls),  # noqa: PLR2004 - the HTTP status
        calls=len(calls),
        offered_excess=meter.offered_tokens.excess,
        served_excess=meter.served_tokens.excess,
    )


def shares(
    ground: Ground, account: str, weights: Mapping[str, float], *, calls: int, refill: int
) -> Mapping[str, float]:
    """Let backlogs of several projects wait for their account's one credential; what share of tokens each got.

    Args:
        ground: with workers.
        account: a name that no scene has used.
        weights: project (names that no scene has used) → weight.
        calls: how many calls to look at, while all still have jobs that wait.
        refill: tokens per second of the credential.
    """
    for project, weight in weights.items():
        ground.configure(
            project,
            account=account,
            profile={"weight": weight},
            tpm_capacity=refill,
            tpm_refill_per_second=refill,
        )
    ground.warm_up(next(iter(weights)))
    for project in weights:
        ground.lanes.pause(project=project)
    with ground.producer() as producer:
        for project in weights:
            for _ in producer.enqueue_many(jobs(project, calls)):
                pass
    ground.fresh_books()
    for project in weights:
        ground.lanes.resume(project=project)
    # What was handed out before all had resumed has come to the vendor by then.
    began = time.time() + 0.5
    wait_for(lambda: ground.books().served >= calls, seconds=120)
    ground.drain()
    taken: Counter[str] = Counter()
    for call in ground.books(200_000).entries[:calls]:
        if call.time >= began:
            taken[call.tags["project"]] += call.usage.total
    return {project: taken[project] / taken.total() for project in weights}


def beside_flood(ground: Ground, name: str, *, flood: int, quiet: int, every: float = 0.25) -> dict[str, float]:
    """Enqueue a job now and then beside a flood of another project; how long each waited to be called for, at p95.

    A quiet project asks for less than its share: 4 jobs a second of some 1,000 tokens, where half of what the shared
    credential grants are 7.5. One that asks for more has a backlog of its own, and waits for that.

    Returns:
        Seconds at p95 of a project with a credential of its own, and of one that shares the flood's credential; and
        seconds that enqueueing the flood took, and jobs of it that still waited at the end.
    """
    limits: dict[str, Any] = {"tpm_capacity": 20_000, "tpm_refill_per_second": 15_000}
    ground.configure(f"{name}-own", **limits)
    for project in (f"{name}-flood", f"{name}-same"):
        ground.configure(project, account=f"{name}-account", **limits)
    ground.warm_up(f"{name}-own", 10)
    ground.warm_up(f"{name}-flood", 10)
    with ground.producer() as producer:
        began = time.monotonic()
        for _ in producer.enqueue_many(jobs(f"{name}-flood", flood)):
            pass
        enqueueing = time.monotonic() - began
        sent: dict[str, float] = {}
        for own, same in zip(jobs(f"{name}-own", quiet), jobs(f"{name}-same", quiet), strict=True):
            for job in (own, same):
                at = time.time()
                sent[producer.enqueue(job).id] = at
            time.sleep(every)
        for job_id in sent:
            producer.handle(job_id).result(timeout=120)
    left = ground.lanes.waiting(f"{name}-flood")
    ground.drain()
    waits: dict[str, list[float]] = {}
    for call in ground.books(200_000).entries:
        if call.tags.get("job") in sent:
            waits.setdefault(call.tags["project"], []).append(call.time - sent[call.tags["job"]])
    return {
        "own": percentile(waits[f"{name}-own"], 95),
        "same": percentile(waits[f"{name}-same"], 95),
        "enqueueing": enqueueing,
        "left": left,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowCredential:
    """What a backlog that waits for a request limit does to others."""

    #: Seconds that some jobs of another project take, before and beside it.
    alone: float
    beside: float
    waiting: int
    called: int
    #: Tasks that workers have in hand or have fetched, and messages that are not acknowledged.
    in_workers: int
    #: Bytes that the largest worker's memory grew by.
    grown: int


def slow_credential(ground: Ground, name: str, *, backlog: int, others: int = 40) -> SlowCredential:
    """Give a credential of ten requests a minute a backlog, and look at another project beside it."""
    # Tokens are no matter here: before answers are known, the whole output cap of a call is set aside.
    key = ground.configure(f"{name}-slow", rpm_capacity=10, tpm_capacity=10_000_000)
    ground.configure(f"{name}-other", tpm_capacity=10_000_000)

    def take() -> float:
        began = time.monotonic()
        with ground.producer() as producer:
            for handle in list(producer.enqueue_many(jobs(f"{name}-other", others))):
                handle.result(timeout=60)
        return time.monotonic() - began

    take()
    alone = take()
    before = [resident_bytes(worker.pid) for worker in ground.workers if worker.poll() is None]
    with ground.producer() as producer:
        for _ in producer.enqueue_many(jobs(f"{name}-slow", backlog)):
            pass
    wait_for(lambda: ground.served(key) >= 10)  # noqa: PLR2004 - what the bucket holds
    wait_for(lambda: not ground.client.exists("byom.unacked"), every=0.01)
    beside = take()
    app = create_app(ground.settings)
    inspect = app.control.inspect(timeout=10, limit=sum(worker.poll() is None for worker in ground.workers))
    held = [task for ask in (inspect.active, inspect.reserved) for tasks in (ask() or {}).values() for task in tasks]
    app.close()
    in_workers = len(held) + ground.client.hlen("byom.unacked")
    after = [resident_bytes(worker.pid) for worker in ground.workers if worker.poll() is None]
    found = SlowCredential(
        alone=alone,
        beside=beside,
        waiting=ground.lanes.waiting(f"{name}-slow"),
        called=ground.served(key),
        in_workers=in_workers,
        grown=max(now - then for now, then in zip(after, before, strict=True)),
    )
    ground.drain()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """How fast jobs get to the fallback when the primary fails."""

    #: Seconds from the failure, at which a job is enqueued, to the first answer of the fallback.
    first_success: float
    #: Seconds, at p50 and p95, from a worker's beginning with a job to its being picked up for the fallback, with the
    #: breaker open.
    handed_over_p50: float
    handed_over_p95: float


def fail_over(ground: Ground, project: str, *, count: int) -> Failover:
    """Take the primary down, see who comes first, and once the breaker is open how long handing over takes."""
    key = ground.configure(project, backup=True, tpm_capacity=10_000_000)
    with ground.producer() as producer:
        for handle in list(producer.enqueue_many(jobs(project, 5))):
            handle.result(timeout=30)
        ground.fresh_books()
        rule = ground.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, key=fingerprint(key)))
        try:
            began = time.monotonic()
            for _ in producer.enqueue_many(jobs(project, 20)):
                pass
            wait_for(lambda: any(total.delivered for total in ground.books().totals), every=0.01)
            first_success = time.monotonic() - began
            wait_for(lambda: ground.books().served >= 20)  # noqa: PLR2004 - all of them
            with started_tasks(ground) as started:
                sent = []
                for job in jobs(project, count):
                    handle = producer.enqueue(job)
                    handle.result(timeout=30)
                    sent.append(handle.id)
                wait_for(lambda: all(len(started.get(job_id, ())) > 1 for job_id in sent))
        finally:
            ground.simulator.clear_faults(rule)
    # Events of two workers come in any order.
    handed_over = [second - first for first, second, *_ in (sorted(started[job]) for job in sent)]
    return Failover(
        first_success=first_success,
        handed_over_p50=percentile(handed_over, 50),
        handed_over_p95=percentile(handed_over, 95),
    )


def moment(text: str) -> float:
    """Seconds since 1970 of a time as it stands in records."""
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def started_tasks(ground: Ground) -> Iterator[dict[str, list[float]]]:
    """Collects when workers began with which task, by their own events; task id → times."""
    app = create_app(ground.settings)
    started: dict[str, list[float]] = {}
    stop = threading.Event()
    ready = threading.Event()

    def note(event: dict[str, Any]) -> None:
        started.setdefault(event["uuid"], []).append(event["timestamp"])

    def listen() -> None:
        with app.connection() as connection:
            receiver = app.events.Receiver(connection, handlers={"task-started": note})
            with receiver.consumer_context(wakeup=False) as (draining, *_):
                ready.set()
                while not stop.is_set():
                    with suppress(TimeoutError):
                        draining.drain_events(timeout=0.2)

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait(10)
    try:
        yield started
    finally:
        stop.set()
        thread.join()
        app.close()
