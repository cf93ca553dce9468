"""What a run found, as it is kept: the table can be made of it again, without measuring."""

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from benchmarks.rows import Reach, Row, Sizes


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Machine(_Model):
    """What was measured on."""

    cores: int
    processor: str
    memory_gb: float
    system: str
    python: str
    #: Name and version of the broker.
    broker: str

    @classmethod
    def this(cls, broker: str) -> Self:
        """The one that this process runs on."""
        return cls(
            cores=os.cpu_count() or 0,
            processor=_processor(),
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            broker=broker,
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class Line(_Model):
    """A figure, and what each repeat found."""

    key: str
    what: str
    form: str
    reach: Reach | None = None
    values: list[float] = []

    @property
    def reached(self) -> bool | None:
        """Whether what is to be reached was; None where nothing is, or nothing was found."""
        return None if self.reach is None or not self.values else self.reach.reached(self.values)

    @property
    def spread(self) -> tuple[float, float, float]:
        """The least, the median and the greatest."""
        return min(self.values), statistics.median(self.values), max(self.values)


class RowResult(_Model):
    """A row, as far as it was measured."""

    name: str
    how: str
    #: Plays it again.
    command: str
    sizes: dict[str, int]
    #: How often it was to be measured.
    repeats: int
    lines: list[Line]
    #: Load average over the last minute, before and after each repeat.
    loads: list[tuple[float, float]] = []
    #: Seconds that each repeat took, with setting up and tearing down.
    seconds: list[float] = []
    notes: list[str] = []
    #: Why a repeat found nothing.
    failures: list[str] = []

    @classmethod
    def begun(cls, row: Row, sizes: Sizes, *, repeats: int, command: str) -> Self:
        """Before anything was measured."""
        return cls(
            name=row.name,
            how=row.how.format(**sizes),
            command=command,
            sizes=dict(sizes),
            repeats=repeats,
            lines=[
                Line(key=key, what=figure.what.format(**sizes), form=figure.form, reach=figure.reach)
                for key, figure in row.figures.items()
            ],
        )


class Results(_Model):
    """A whole run."""

    began: AwareDatetime
    ended: AwareDatetime
    machine: Machine
    #: The commit that was measured, where that is known; with `+` if files differed from it.
    commit: str | None = None
    #: Load averages over 1, 5 and 15 minutes, before and after.
    load_began: tuple[float, float, float]
    load_ended: tuple[float, float, float]
    #: Whether sizes were so small that the figures say nothing.
    quick: bool
    rows: list[RowResult]

    @classmethod
    def begun(cls, rows: Sequence[RowResult], *, machine: Machine, commit: str | None, quick: bool) -> Self:
        """Before anything was measured."""
        now, load = datetime.now(UTC), os.getloadavg()
        return cls(
            began=now,
            ended=now,
            machine=machine,
            commit=commit,
            load_began=load,
            load_ended=load,
            quick=quick,
            rows=list(rows),
        )

    def touch(self) -> None:
        """Note that it went on until now."""
        self.ended, self.load_ended = datetime.now(UTC), os.getloadavg()

    @property
    def failed(self) -> bool:
        """Whether anything could not be measured."""
        return any(row.failures for row in self.rows)
