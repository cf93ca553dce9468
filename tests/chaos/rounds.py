"""One round of chaos from beginning to end: a pool, traffic, faults, and the verdict."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from benchmarks.ground import ground
from tests.chaos.evidence import Evidence
from tests.chaos.gather import gather
from tests.chaos.plan import Plan, draw
from tests.chaos.report import Report
from tests.chaos.scenario import SETTINGS, Run, prepared
from tests.chaos.stage import LENDERS, VENDORS
from tests.chaos.traffic import wanted_jobs
from tests.chaos.verdict import LOST, reconcile, tally, verdict
from tests.chaos.watchers import watching
from workers.embedded.simulator import Latency
from workers.embedded.valkey import EmbeddedValkey

WORKERS = 2
LATENCY = Latency(low=0.05, high=0.4)


def plan_of(seed: int, *, steps: int, patience: float = 1.0) -> Plan:
    """The plan of a seed, for the vendors and workers that there are."""
    return draw(seed, steps=steps, workers=WORKERS, vendors=sorted([*VENDORS.values(), *LENDERS]), patience=patience)


def play(
    plan: Plan,
    *,
    jobs: int,
    watched: bool,
    folder: Path | None = None,
    told: Callable[[str], None] = lambda _line: None,
    progress: Callable[[int, int], None] = lambda _ended, _steps: None,
    **settings: str,
) -> Report:
    """Play one round.

    Args:
        plan: what goes wrong.
        jobs: how many are enqueued.
        watched: whether Flower, a database and all commands look on, and are asked at the end.
        folder: for logs and everything; without it, one of its own, which is kept only when something is wrong.
        told: takes a line about each disturbance.
        progress: takes how many jobs have ended, and how many disturbances there were.
        settings: of workers, beyond those that all rounds have.
    """
    began = time.monotonic()
    place = folder or Path(tempfile.mkdtemp(prefix=f"byom-chaos-{plan.seed}-"))
    with ExitStack() as exits:
        # What a broker that writes each second has taken in the last one or two before a crash is lost by design.
        broker = EmbeddedValkey(data_dir=place / "valkey", fsync="always")
        pool = exits.enter_context(ground(place, latency=LATENCY, broker=broker, extra={**SETTINGS, **settings}))
        watchers = exits.enter_context(watching(pool)) if watched else None
        run = exits.enter_context(prepared(pool, plan, list(wanted_jobs(plan.seed, jobs)), told=told))
        traffic_began = time.monotonic()
        run.play(progress)
        traffic = time.monotonic() - traffic_began
        evidence = gather(run, watchers)
        report = _report(
            run, evidence, seconds=time.monotonic() - began, traffic=traffic, watched=watched, folder=place
        )
    if folder is None and not report.problems:
        shutil.rmtree(place)
    return report


def _report(run: Run, evidence: Evidence, *, seconds: float, traffic: float, watched: bool, folder: Path) -> Report:
    """What a round came to."""
    reconciled, wrong = reconcile(evidence), tally(evidence)
    kinds = Counter(step.what.value for step in run.done)
    kinds.update(death.how for death in evidence.interruptions if " at " in death.how)
    return Report(
        seed=run.plan.seed,
        jobs=len(evidence.jobs),
        steps=len(run.plan.steps),
        seconds=round(seconds, 1),
        traffic_seconds=round(traffic, 1),
        watched=watched,
        faults=dict(kinds),
        struck=sum(entry.fault is not None for entry in evidence.entries),
        endings=dict(Counter(status for job in evidence.jobs for status in job.statuses.values())),
        repeats=run.traffic.repeats,
        refused=run.traffic.refused,
        attempts=len(evidence.records),
        tokens=sum(record.usage.total for record in evidence.records),
        cost_usd=format(sum((Decimal(record.cost_usd or 0) for record in evidence.records), Decimal(0)), "f"),
        settled=reconciled.settled.total(),
        settled_by_provider=dict(reconciled.settled),
        unheard=len(reconciled.unheard),
        lost=len(reconciled.lost),
        silent_tokens=reconciled.unheard_usage.total,
        written_off=sum(record.status == LOST for record in evidence.records),
        agreed=len(evidence.tables),
        lost_for_good=wrong.lost,
        double_counted=wrong.doubled,
        leaks=wrong.leaks,
        problems=tuple(verdict(evidence)),
        folder=str(folder),
    )
