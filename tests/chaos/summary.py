"""What all rounds came to together. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tests.chaos.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of all rounds."""

    rounds: int
    #: Minutes in which jobs flowed.
    minutes: float
    jobs: int
    #: What was done to the pool, by its kind: disturbances, and deaths at a point of an attempt.
    faults: Mapping[str, int]
    faults_injected: int
    #: Workers that died without a word; part of the former.
    kills: int
    #: Requests that vendors spoilt because they were told to.
    struck: int
    #: Jobs without an end, and billed calls of which the ledger knows nothing.
    lost: int
    #: Jobs that ran twice, and calls that are in the ledger twice, or were never made.
    double_counted: int
    #: What was left behind, and what was seen where it must not be.
    leaks: int
    #: Rounds in which anything at all was wrong.
    wrong: int

    @classmethod
    def of(cls, reports: Sequence[Report]) -> Self:
        """The sums of some rounds."""
        faults = sum((Counter(report.faults) for report in reports), Counter[str]())
        return cls(
            rounds=len(reports),
            minutes=round(sum(report.traffic_seconds for report in reports) / 60, 1),
            jobs=sum(report.jobs for report in reports),
            faults=dict(sorted(faults.items())),
            faults_injected=faults.total(),
            kills=sum(count for what, count in faults.items() if what == "kill" or what.startswith("kill at ")),
            struck=sum(report.struck for report in reports),
            lost=sum(report.lost_for_good for report in reports),
            double_counted=sum(report.double_counted for report in reports),
            leaks=sum(report.leaks for report in reports),
            wrong=sum(bool(report.problems) for report in reports),
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        kinds = ", ".join(f"{count} {what}" for what, count in self.faults.items())
        return (
            f"{self.rounds} rounds, {self.minutes} minutes of traffic, {self.jobs:,} jobs",
            f"{self.faults_injected} faults injected ({self.kills} kills): {kinds}; {self.struck:,} requests spoilt",
            f"{self.lost} lost, {self.double_counted} double-counted, {self.leaks} leaks",
        )
