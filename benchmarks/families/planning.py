"""What a backfill is said to cost before it runs, against what it cost."""

import json
import tempfile
from decimal import Decimal
from pathlib import Path

from benchmarks.backfill import PROJECT, Driver, plan_cost, write_file
from benchmarks.ground import UNBOUND, ground
from benchmarks.rows import CannotMeasure, Figure, Measured, Row, Sizes, at_most
from workers.embedded.simulator import Latency


def _measure(sizes: Sizes) -> Measured:
    with tempfile.TemporaryDirectory() as folder, ground(Path(folder), latency=Latency(low=0.05, high=0.1)) as place:
        place.configure(PROJECT, **UNBOUND)
        place.start_worker()
        place.start_worker()
        # The plan goes by what answers took so far.
        place.warm_up(PROJECT, sizes["before"])
        file = place.folder / "archive.jsonl"
        write_file(file, sizes["lines"])
        planned = plan_cost(place, file)
        driver = Driver(place, file, place.folder / "out.jsonl", window=1_000)
        said, _ = driver.process.communicate(timeout=3_600)
        if driver.process.returncode:
            log = (place.folder / "driver.log").read_text(encoding="utf-8")
            raise CannotMeasure(f"the backfill ended with {driver.process.returncode}: {log}")
        actual = Decimal(json.loads(said)["usage"]["cost_usd"])
    difference = float((planned / actual - 1) * 100)
    return Measured(
        values={"off": abs(difference), "signed": difference, "planned": float(planned), "actual": float(actual)}
    )


ROWS = (
    Row(
        name="plan",
        how="byom backfill plan of {lines:,} lines of several lengths after {before} jobs, then byom backfill run",
        figures={
            "off": Figure(what="a backfill's estimated cost is off by (of actual)", form="{:.1f} %", reach=at_most(5)),
            "signed": Figure(what="the same with its sign", form="{:+.1f} %"),
            "planned": Figure(what="planned", form="{:.4f} USD"),
            "actual": Figure(what="actual", form="{:.4f} USD"),
        },
        measure=_measure,
        full={"lines": 2_000, "before": 200},
        quick={"lines": 30, "before": 10},
    ),
)
