"""What a round came to."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a round came to."""

    seed: int
    jobs: int
    #: Disturbances that were planned; with seed and jobs they make the same plan again.
    steps: int
    seconds: float
    #: Seconds from the first job to the end of the last one.
    traffic_seconds: float
    #: Whether everybody looked on.
    watched: bool
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
    #: The first of these by kind of provider.
    settled_by_provider: Mapping[str, int]
    #: Tokens of the latter two.
    silent_tokens: int
    #: Attempts that the ledger calls lost; some were never made.
    written_off: int
    #: Ways in which the ledger was looked at.
    agreed: int
    #: What must be 0; see `verdict.tally`.
    lost_for_good: int
    double_counted: int
    leaks: int
    problems: tuple[str, ...]
    folder: str

    @property
    def again(self) -> str:
        """The command that plays this round again."""
        return again(seed=self.seed, jobs=self.jobs, steps=self.steps, watched=self.watched)


def again(*, seed: int, jobs: int, steps: int, watched: bool) -> str:
    """The command that plays a round again."""
    command = f"python -m tests.chaos --seed {seed} --jobs {jobs} --steps {steps}"
    return command if watched else f"{command} --no-watched"
