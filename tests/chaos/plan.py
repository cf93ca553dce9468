"""What goes wrong in a run, and when: drawn from a seed, so that the same seed means the same plan. Pure."""

import itertools
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from workers.embedded.simulator import FaultRule, Injection

_Card = TypeVar("_Card")


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
    "torn": {"kind": Injection.TORN},
}

#: Of what, how often, beside each other.
_WEIGHTS: Final[Mapping[What, int]] = {
    What.KILL: 6,
    What.TERM: 3,
    What.STOP: 3,
    What.RESTART: 1,
    What.CRASH: 1,
    What.FREEZE: 1,
    What.FULL: 1,
    What.ROLL: 1,
    What.CLOCK: 2,
    What.STORE: 1,
    What.PROVIDER: 8,
}
#: Seconds that each lasts, least and most; where there are two, one or the other. A worker that was killed is away for
#: as long. Half a minute of a broker that is away is more than claims, leases and deliveries last here.
_SECONDS: Final[Mapping[What, Sequence[tuple[float, float]]]] = {
    What.KILL: ((0, 3),),
    What.TERM: ((0, 1),),
    What.STOP: ((0.5, 5), (12, 25)),
    What.RESTART: ((0, 2),),
    What.CRASH: ((30, 34), (0, 5)),
    What.FREEZE: ((30, 34), (1, 5)),
    What.FULL: ((1, 6),),
    What.ROLL: ((0, 0),),
    What.CLOCK: ((0, 0),),
    What.STORE: ((2, 12),),
    What.PROVIDER: ((2, 10),),
}

#: Seconds that a clock is off at most.
_AHEAD: Final = 1_800

#: Where in the life of an attempt a worker may be made to do something to itself; see `dying`.
POINTS: Final = (
    "claimed",
    "minting",
    "minted",
    "signed",
    "calling",
    "during",
    "answered",
    "settled",
    "handed_over",
    "ending",
    "ended",
    "acknowledging",
)
#: Passages of that point before it does; tokens are asked for, and jobs handed over, a few times a minute only.
_PASSAGES: Final = (3, 60)
_RARE: Final[Mapping[str, tuple[int, int]]] = {
    "minting": (1, 4),
    "minted": (1, 4),
    "signed": (1, 20),
    "handed_over": (1, 6),
}
#: Share of workers that start with such a thing before them, and what it is, as often as it stands here.
_SENTENCED: Final = 0.5
_HOW: Final = (What.KILL, What.KILL, What.KILL, What.TERM, What.STOP)


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
    """A worker kills, terminates or stops itself when it comes past a point for the n-th time."""

    point: str
    passage: int
    how: What = What.KILL
    #: How long it stays stopped.
    seconds: float = 0.0

    @property
    def told(self) -> str:
        """What it comes to, for people and for counting."""
        return f"{self.how.value} at {self.point}"

    @property
    def sends(self) -> signal.Signals:
        """What it sends itself."""
        return {What.KILL: signal.SIGKILL, What.TERM: signal.SIGTERM, What.STOP: signal.SIGSTOP}[self.how]

    @property
    def leaves(self) -> int | None:
        """What its process ends with; None where it does not end of this."""
        return {What.KILL: -signal.SIGKILL, What.TERM: 0}.get(self.how)

    def __str__(self) -> str:
        return f"{self.point}:{self.passage}:{self.sends.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that goes wrong in one run."""

    seed: int
    steps: Sequence[Step]

    def sentence(self, worker: int, start: int) -> Sentence | None:
        """What a worker does to itself when it is started for the n-th time, from 0; the first does nothing."""
        dice = random.Random(f"{self.seed} {worker} {start}")  # noqa: S311 - a test's dice
        if start == 0 or dice.random() >= _SENTENCED:
            return None
        point = dice.choice(POINTS)
        return Sentence(
            point=point,
            passage=dice.randint(*_RARE.get(point, _PASSAGES)),
            how=dice.choice(_HOW),
            seconds=dice.uniform(*dice.choice(_SECONDS[What.STOP])),
        )


def draw(seed: int, *, steps: int, workers: int, vendors: Sequence[str], patience: float = 1.0) -> Plan:
    """A plan; one that is not too short has everything: each disturbance, each failure, and each vendor that fails.

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
    lasting = {what: itertools.cycle(ranges) for what, ranges in _SECONDS.items()}
    failures, failing = _deck(dice, list(FAILURES)), _deck(dice, list(vendors))
    #: The last twentieth is left alone, so that the last disturbance meets traffic, too.
    moments = sorted(dice.uniform(0.02, 0.95) for _ in range(count))
    for what, at in zip(_dealt(dice, count), moments, strict=True):
        yield Step(
            what=what,
            at=at,
            seconds=dice.uniform(*next(lasting[what])) * patience,
            worker=dice.randrange(workers),
            failure=next(failures) if what is What.PROVIDER else "",
            vendor=next(failing) if what is What.PROVIDER else "",
            share=dice.choice([0.2, 0.5, 1.0]),
            ahead=dice.uniform(-_AHEAD, _AHEAD),
        )


def _dealt(dice: random.Random, count: int) -> Sequence[What]:
    """What happens, in order.

    Everything once where there is room for it, and providers as often as there are ways of failing; the rest as often
    as its weight says.
    """
    once = [*What, *[What.PROVIDER] * (len(FAILURES) - 1)]
    once = once if count >= len(once) else []
    rest = dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()), k=count - len(once))
    return dice.sample([*once, *rest], k=count)


def _deck(dice: random.Random, cards: Sequence[_Card]) -> Iterator[_Card]:
    """Cards of a shuffled deck, and of the next one when it is used up: none comes twice before all came once."""
    while True:
        yield from dice.sample(cards, k=len(cards))
