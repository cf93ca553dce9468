"""What goes wrong in a run, and when: drawn from a seed, so that the same seed means the same plan. Pure."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workers.embedded.simulator import FaultRule, Injection


class What(StrEnum):
    """What is done to the pool."""

    #: `kill -9` of a worker.
    KILL = "kill"
    #: SIGTERM: the worker drains for a moment, and hands back what it could not end.
    TERM = "term"
    #: SIGSTOP, and SIGCONT after a while: long enough, and its jobs are taken for lost while it still has them.
    STOP = "stop"
    #: The broker stops in good order and starts again.
    RESTART = "restart"
    #: The broker is killed, and refuses connections until it starts again.
    CRASH = "crash"
    #: The broker keeps its connections and answers nobody for a while.
    FREEZE = "freeze"
    #: The broker's memory is full: it takes nothing new.
    FULL = "full"
    #: The workers are replaced one after the other, as by an update.
    ROLL = "roll"
    #: The wall clock of a worker is set, by minutes; it stays so.
    CLOCK = "clock"
    #: The store of connections and credentials cannot be read.
    STORE = "store"
    #: A provider fails in one way for a while.
    PROVIDER = "provider"


WORKER: Final = frozenset({What.KILL, What.TERM, What.STOP, What.CLOCK})
BROKER: Final = frozenset({What.RESTART, What.CRASH, What.FREEZE, What.FULL})

#: How providers fail. `share` is of the requests that meet the rule; a third of these faults is billed all the same.
FAILURES: Final[Mapping[str, Mapping[str, object]]] = {
    "429 storm": {"kind": Injection.STATUS, "status": 429, "retry_after": 1},
    "500": {"kind": Injection.STATUS, "status": 500},
    "503": {"kind": Injection.STATUS, "status": 503},
    "hang": {"kind": Injection.HANG},
    "hang, billed": {"kind": Injection.HANG, "billed": True},
    "reset": {"kind": Injection.RESET},
    "reset, billed": {"kind": Injection.RESET, "billed": True},
    "slow": {"kind": Injection.SLOW, "seconds": 1.5},
    "truncated": {"kind": Injection.TRUNCATED},
    "malformed": {"kind": Injection.MALFORMED},
    "html": {"kind": Injection.HTML},
    "empty": {"kind": Injection.EMPTY},
    "wrong schema": {"kind": Injection.WRONG_SCHEMA},
}

#: Of what, how often, beside each other.
_WEIGHTS: Final[Mapping[What, int]] = {
    What.KILL: 6,
    What.TERM: 3,
    What.STOP: 3,
    What.RESTART: 1,
    What.CRASH: 2,
    What.FREEZE: 1,
    What.FULL: 1,
    What.ROLL: 1,
    What.CLOCK: 2,
    What.STORE: 1,
    What.PROVIDER: 16,
}
#: Seconds that each lasts: least and most. A worker that was killed is away for as long.
_SECONDS: Final[Mapping[What, tuple[float, float]]] = {
    What.KILL: (0, 3),
    What.TERM: (0, 1),
    What.STOP: (0.5, 25),
    What.RESTART: (0, 2),
    What.CRASH: (0, 32),
    What.FREEZE: (1, 32),
    What.FULL: (1, 6),
    What.ROLL: (0, 0),
    What.CLOCK: (0, 0),
    What.STORE: (1, 6),
    What.PROVIDER: (1, 6),
}

#: Seconds that a clock is off at most.
_AHEAD: Final = 1_800

#: Where in the life of an attempt a worker may be made to die; see `dying`.
POINTS: Final = (
    "claimed",
    "calling",
    "during",
    "answered",
    "settled",
    "handed_over",
    "ending",
    "ended",
    "acknowledging",
)
#: Passages of that point before it dies.
_PASSAGES: Final = (3, 60)
#: Share of workers that start with such a death before them.
_SENTENCED: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One disturbance."""

    what: What
    #: Share of all jobs that have ended when it comes.
    at: float
    seconds: float
    #: Which worker, of those that there are.
    worker: int = 0
    #: Which way of failing, and of which vendor, by the beginning of its paths.
    failure: str = ""
    vendor: str = ""
    share: float = 1.0
    #: Seconds that a clock is ahead of the truth from then on.
    ahead: float = 0.0

    @property
    def rule(self) -> FaultRule:
        """What the simulator is told."""
        return FaultRule.model_validate(
            {**FAILURES[self.failure], "prefix": f"/{self.vendor}/", "probability": self.share}
        )

    def __str__(self) -> str:
        """One line for people."""
        match self.what:
            case What.PROVIDER:
                whom = f"{self.failure} at {self.vendor} for {self.share:.0%}, {self.seconds:.1f} s"
            case What.STORE:
                whom = f"no store, {self.seconds:.1f} s"
            case What.ROLL:
                whom = "replace all workers, one after the other"
            case What.CLOCK:
                whom = f"clock of worker {self.worker} {self.ahead:+.0f} s"
            case what if what in WORKER:
                whom = f"{what.value} worker {self.worker}, {self.seconds:.1f} s"
            case what:
                whom = f"{what.value} broker, {self.seconds:.1f} s"
        return f"at {self.at:.0%}: {whom}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A worker dies when it comes past a point for the n-th time."""

    point: str
    passage: int

    def __str__(self) -> str:
        return f"{self.point}:{self.passage}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that goes wrong in one run."""

    seed: int
    steps: Sequence[Step]

    def sentence(self, worker: int, start: int) -> Sentence | None:
        """The death that a worker has before it when it is started for the n-th time, from 0; the first has none."""
        dice = random.Random(f"{self.seed} {worker} {start}")  # noqa: S311 - a test's dice
        if start == 0 or dice.random() >= _SENTENCED:
            return None
        return Sentence(point=dice.choice(POINTS), passage=dice.randint(*_PASSAGES))


def draw(seed: int, *, steps: int, workers: int, vendors: Sequence[str], patience: float = 1.0) -> Plan:
    """A plan.

    Args:
        seed: the same gives the same plan.
        steps: disturbances.
        workers: how many there are.
        vendors: which may fail, as they begin their paths.
        patience: factor of how long everything lasts.
    """
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    return Plan(seed=seed, steps=tuple(_steps(dice, steps, workers, vendors, patience)))


def _steps(dice: random.Random, count: int, workers: int, vendors: Sequence[str], patience: float) -> Iterator[Step]:
    #: The last twentieth is left alone, so that the last disturbance meets traffic, too.
    for at in sorted(dice.uniform(0.02, 0.95) for _ in range(count)):
        (what,) = dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))
        yield Step(
            what=what,
            at=at,
            seconds=dice.uniform(*_SECONDS[what]) * patience,
            worker=dice.randrange(workers),
            failure=dice.choice(list(FAILURES)),
            vendor=dice.choice(vendors),
            share=dice.choice([0.2, 0.5, 1.0]),
            ahead=dice.uniform(-_AHEAD, _AHEAD),
        )
