"""Measures rows, one repeat after the other."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.results import Results, RowResult
from benchmarks.rows import Row, written

ROOT = Path(__file__).parents[1]
#: Characters of an error that are kept, its last ones.
_TOLD = 600


def measure_all(
    rows: Sequence[Row],
    results: Results,
    *,
    told: Callable[[str], None] = lambda _line: None,
    keep: Callable[[Results], None] = lambda _results: None,
) -> None:
    """Measure all rows, the first repeat of each before the second of any, so that a change of load meets all.

    Args:
        rows: what to measure.
        results: theirs, in the same order; what is found is added.
        told: takes a line for each repeat.
        keep: takes the results after each repeat.
    """
    most = max((result.repeats for result in results.rows), default=0)
    for repeat in range(most):
        for row, result in zip(rows, results.rows, strict=True):
            if repeat < result.repeats:
                told(f"{repeat + 1}/{result.repeats} {row.name}: {_measure(row, result)}")
                results.touch()
                keep(results)


def _measure(row: Row, result: RowResult) -> str:
    """Measure once; what is to be said of it."""
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        measured = row.measure(result.sizes)
        values = [float(measured.values[line.key]) for line in result.lines]
    except Exception as error:  # noqa: BLE001 - whatever it was, the other rows are measured
        # A worker that did not start gives its whole log.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[-_TOLD:]}"
        result.failures.append(said)
    else:
        for line, value in zip(result.lines, values, strict=True):
            line.values.append(value)
        result.notes.extend(note for note in measured.notes if note not in result.notes)
        said = "; ".join(
            f"{line.what}: {written(line.form, value)}" for line, value in zip(result.lines, values, strict=True)
        )
    result.seconds.append(round(time.monotonic() - began, 1))
    result.loads.append((load, os.getloadavg()[0]))
    return f"{said} ({result.seconds[-1]:.0f} s, load {load:.1f} to {result.loads[-1][1]:.1f})"


def commit() -> str | None:
    """The commit that is checked out."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=9"],  # noqa: S607 - git from the path
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()
