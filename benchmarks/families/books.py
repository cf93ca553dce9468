"""The ledger against the vendors' own books: one round of chaos, as `make chaos` plays it."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.ground import ROOT
from benchmarks.rows import CannotMeasure, Figure, Measured, Row, Sizes, exactly


def _measure(sizes: Sizes) -> Measured:
    return found_in(_played(sizes["jobs"], sizes["seed"]))


def found_in(printed: str) -> Measured:
    """What a round found, from what `--json` printed: a line for its report, and one for all rounds together.

    Raises:
        CannotMeasure: there is no report of a round.
    """
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    report: dict[str, Any] = next((line for line in lines if "problems" in line), {})
    if not report:
        raise CannotMeasure("chaos printed no report of its round")
    faults = ", ".join(f"{count} {what}" for what, count in sorted(report["faults"].items()))
    return Measured(
        values={
            "wrong": len(report["problems"]),
            "settled": report["settled"],
            "tokens": report["tokens"],
            "silent": report["silent_tokens"],
            "faults": report["struck"],
            "kills": sum(report["faults"].values()),
        },
        notes=(
            f"seed {report['seed']}: {faults}",
            *(f"wrong with seed {report['seed']}: {problem}" for problem in report["problems"]),
        ),
    )


def _played(jobs: int, seed: int) -> str:
    """What one round printed."""
    command = [sys.executable, "-m", "tests.chaos", "--json", "--no-watched", f"--jobs={jobs}", f"--seed={seed}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not ended.stdout:
        raise CannotMeasure(f"no report of the round; it ended with {ended.returncode}: {ended.stderr}")
    return ended.stdout


ROWS = (
    Row(
        name="ledger",
        how="{jobs:,} jobs in two workers, with faults of vendors and kills of workers and broker from seed {seed}; "
        "every call that a vendor billed is held against the ledger, and the suite's other promises are checked too",
        figures={
            "wrong": Figure(
                what="ledger against the books, {jobs:,} jobs with faults and kills: differences",
                form="{:,.0f}",
                reach=exactly(0),
            ),
            "settled": Figure(what="billed calls equal to the token", form="{:,.0f}"),
            "tokens": Figure(what="tokens in the ledger", form="{:,.0f}"),
            "silent": Figure(
                what="tokens of calls that were billed and never answered, in the ledger as that", form="{:,.0f}"
            ),
            "faults": Figure(what="faults of vendors", form="{:,.0f}"),
            "kills": Figure(what="disturbances, and deaths of workers", form="{:,.0f}"),
        },
        measure=_measure,
        full={"jobs": 10_000, "seed": 1},
        quick={"jobs": 60},
        repeats=1,
    ),
)
