"""One round of chaos from beginning to end: a pool, traffic, faults, and the verdict."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from benchmarks.ground import ground
from tests.chaos.gather import gather
from tests.chaos.plan import Plan, draw
from tests.chaos.scenario import SETTINGS, prepared
from tests.chaos.stage import MOUNTS
from tests.chaos.traffic import wanted_jobs
from tests.chaos.verdict import reconcile, verdict
from tests.chaos.watchers import watching
from workers.embedded.simulator import Latency
from workers.embedded.valkey import EmbeddedValkey

WORKERS = 2
LATENCY = Latency(low=0.05, high=0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a round came to."""

    seed: int
    jobs: int
    seconds: float
    #: What was done: disturbances and deaths of workers, by their kind.
    faults: Mapping[str, int]
    #: Faults that vendors were told to make, one by one.
    struck: int
    #: Jobs by how they ended.
    endings: Mapping[str, int]
    #: Jobs enqueued again, and enqueueings that the broker did not take at first.
    repeats: int
    refused: int
    attempts: int
    tokens: int
    cost_usd: str
    #: Billed calls: with their tokens in the ledger; without an answer; lost with their worker.
    settled: int
    unheard: int
    lost: int
    #: Tokens of the latter two.
    silent_tokens: int
    #: Attempts that the ledger calls lost; some were never made.
    written_off: int
    #: Ways in which the ledger was looked at.
    agreed: int
    problems: tuple[str, ...]
    folder: str


def plan_of(seed: int, *, steps: int, patience: float = 1.0) -> Plan:
    """The plan of a seed, for the vendors and workers that there are."""
    return draw(seed, steps=steps, workers=WORKERS, vendors=sorted(MOUNTS.values()), patience=patience)


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
        folder: for logs and everything; one that is kept when something is wrong, unless it is given.
        told: takes a line about each disturbance.
        progress: takes how many jobs have ended, and how many disturbances there were.
        settings: of workers, beyond those that all rounds have.
    """
    began = time.monotonic()
    with ExitStack() as exits:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix=f"byom-chaos-{plan.seed}-"))
        # What a broker that writes each second has taken in the last one or two before a crash is lost by design.
        broker = EmbeddedValkey(data_dir=folder / "valkey", fsync="always")
        place = exits.enter_context(ground(folder, latency=LATENCY, broker=broker, extra={**SETTINGS, **settings}))
        watchers = exits.enter_context(watching(place)) if watched else None
        run = exits.enter_context(prepared(place, plan, list(wanted_jobs(plan.seed, jobs)), told=told))
        run.play(progress)
        evidence = gather(run, watchers)
        reconciled = reconcile(evidence)
        kinds = Counter(step.what.value for step in run.done)
        kinds.update(f"died at {death.how.partition(':')[0]}" for death in evidence.interruptions if ":" in death.how)
        silent = reconciled.unheard_usage
        return Report(
            seed=plan.seed,
            jobs=jobs,
            seconds=round(time.monotonic() - began, 1),
            faults=dict(kinds),
            struck=sum(entry.fault is not None for entry in evidence.entries),
            endings=dict(Counter(status for job in evidence.jobs for status in job.statuses.values())),
            repeats=run.traffic.repeats,
            refused=run.traffic.refused,
            attempts=len(evidence.records),
            tokens=sum(record.usage.total for record in evidence.records),
            cost_usd=format(sum((Decimal(record.cost_usd or 0) for record in evidence.records), Decimal(0)), "f"),
            settled=reconciled.settled,
            unheard=len(reconciled.unheard),
            lost=len(reconciled.lost),
            silent_tokens=silent.total,
            written_off=sum(record.status == "lost" for record in evidence.records),
            agreed=len(evidence.tables),
            problems=tuple(verdict(evidence)),
            folder=str(folder),
        )
