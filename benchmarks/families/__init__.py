"""All rows: those with something to reach, and those that say what jobs cost and how that grows."""

from collections.abc import Mapping

from benchmarks.families import (
    books,
    changes,
    costs,
    cpu,
    enqueueing,
    growth,
    in_flight,
    instructions,
    kept,
    limits,
    planning,
)
from benchmarks.rows import Row

#: In the order of the table; by name.
DESIGN: Mapping[str, Row] = {
    row.name: row
    for row in (
        *cpu.ROWS,
        *in_flight.ROWS,
        *limits.ROWS,
        *changes.ROWS,
        *enqueueing.ROWS,
        *books.ROWS,
        *planning.ROWS,
        *instructions.ROWS,
    )
}
SCALE: Mapping[str, Row] = {
    row.name: row for row in (*costs.ROWS, *kept.ROWS, *growth.ROWS, *limits.BEYOND, *in_flight.BEYOND)
}
