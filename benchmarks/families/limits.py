"""Who is let in when limits are scarce, and how fast jobs get away from what fails.

Time is scaled: 15,000 tokens a second and 20,000 at once make one minute of ten at the default of 1,500 a second. The
simulated vendor enforces the declared limits itself, and its own books are what is looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import scenes
from benchmarks.ground import Ground, ground
from benchmarks.rows import Figure, Measured, Row, Sizes, at_least, at_most, below, exactly


@contextmanager
def two_workers() -> Iterator[Ground]:
    """A pool with two workers."""
    with ground() as place:
        place.start_worker()
        place.start_worker()
        yield place


def _quota(sizes: Sizes) -> Measured:
    with two_workers() as place:
        found = scenes.saturate(place, "saturated", seconds=sizes["seconds"], capacity=20_000, refill=15_000)
    return Measured(
        values={
            "used": found.used * 100,
            "refused": found.refused * 100,
            "excess": max(found.offered_excess, found.served_excess),
            "calls": found.calls,
        }
    )


def _flood(sizes: Sizes) -> Measured:
    with two_workers() as place:
        found = scenes.beside_flood(place, "flood", flood=sizes["jobs"], quiet=sizes["quiet"])
    return Measured(
        values={
            "own": found["own"],
            "same": found["same"],
            "enqueueing": sizes["jobs"] / found["enqueueing"],
            "left": found["left"],
        }
    )


def _failover(sizes: Sizes) -> Measured:
    with two_workers() as place:
        found = scenes.fail_over(place, "failing", count=sizes["jobs"])
    return Measured(
        values={
            "first": found.first_success,
            "typical": found.handed_over_p50 * 1000,
            "slow": found.handed_over_p95 * 1000,
        }
    )


def _shares(sizes: Sizes) -> Measured:
    weights = {"one": 1.0, "other": 1.0, "heavy": 3.0}
    with two_workers() as place:
        one, other, heavy = scenes.shares(place, "shared", weights, calls=sizes["calls"], refill=60_000).values()
    return Measured(values={"equal": one / other, "heavy": heavy / ((one + other) / 2)})


def _slow(sizes: Sizes) -> Measured:
    with two_workers() as place:
        found = scenes.slow_credential(place, "requests", backlog=sizes["jobs"])
    return Measured(
        values={
            "alone": found.alone,
            "beside": found.beside,
            "held": found.in_workers,
            "grown": found.grown / 1e6,
        }
    )


ROWS = (
    Row(
        name="quota",
        how="two workers and a backlog on one credential for {seconds} s; the vendor grants exactly what is declared "
        "and charges what answers use",
        figures={
            "used": Figure(
                what="quota used under backlog, of capacity + refill x time", form="{:.1f} %", reach=at_least(97)
            ),
            "refused": Figure(what="calls refused for their rate", form="{:.2f} %", reach=below(0.1)),
            "excess": Figure(
                what="over-admission: tokens over the limit in the worst window", form="{:,.0f}", reach=exactly(0)
            ),
            "calls": Figure(what="calls in that time", form="{:,.0f}"),
        },
        measure=_quota,
        full={"seconds": 60},
        quick={"seconds": 3},
    ),
    Row(
        name="flood",
        how="a job of a quiet project every 0.25 s while {jobs:,} jobs of another wait; from before it is enqueued "
        "until the vendor is called",
        figures={
            "own": Figure(
                what="wait beside {jobs:,} jobs of another project at p95", form="{:.2f} s", reach=at_most(2)
            ),
            "same": Figure(what="the same on the credential of the flood", form="{:.2f} s", reach=at_most(2)),
            "enqueueing": Figure(what="enqueueing the flood while both workers run, jobs/s", form="{:,.0f}"),
            "left": Figure(what="jobs of the flood that still waited at the end", form="{:,.0f}"),
        },
        measure=_flood,
        full={"jobs": 100_000, "quiet": 100},
        quick={"jobs": 500, "quiet": 10},
    ),
    Row(
        name="failover",
        how="the primary answers 503 from one moment on, at which 20 jobs are enqueued; then {jobs} jobs one by one "
        "with the breaker open, from a worker's beginning with a job to its being picked up for the fallback",
        figures={
            "first": Figure(what="primary dies: first success on the fallback", form="{:.2f} s", reach=at_most(2)),
            "slow": Figure(what="breaker open: handed to the fallback, p95", form="{:.1f} ms", reach=at_most(50)),
            "typical": Figure(what="the same, p50", form="{:.1f} ms"),
        },
        measure=_failover,
        full={"jobs": 100},
        quick={"jobs": 5},
    ),
)

BEYOND = (
    Row(
        name="shares",
        how="three projects with backlogs on the credential of their account, by weights of 1, 1 and 3",
        figures={
            "equal": Figure(what="equal weights: ratio of shares", form="{:.3f}"),
            "heavy": Figure(what="weight 3 : 1: ratio of shares", form="{:.3f}"),
        },
        measure=_shares,
        full={"calls": 500},
        quick={"calls": 100},
    ),
    Row(
        name="slow",
        how="40 jobs of a project, alone and beside a backlog of another at ten requests a minute",
        figures={
            "alone": Figure(what="40 jobs of another project, alone", form="{:.2f} s"),
            "beside": Figure(what="the same beside {jobs:,} jobs at ten requests a minute", form="{:.2f} s"),
            "held": Figure(what="of these, in the hands of workers", form="{:,.0f}"),
            "grown": Figure(what="growth of a worker's memory", form="{:.2f} MB"),
        },
        measure=_slow,
        full={"jobs": 10_000},
        quick={"jobs": 200},
    ),
)
