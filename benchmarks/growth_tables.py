"""How costs grow, as tables: a line for each size, a column for each figure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.results import Line, RowResult
from benchmarks.rows import written


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivot:
    """Rows of one family under one heading."""

    heading: str
    #: Name of a row, or with a hyphen at its end how the names of several begin → what its line says, with its sizes.
    rows: Sequence[tuple[str, str]]
    #: Key of a figure, and what its column says.
    columns: Sequence[tuple[str, str]]


_CPU = (
    ("worker_cpu", "CPU of workers a job"),
    ("redis_cpu", "CPU of Redis a job"),
    ("commands", "commands in Redis a job"),
)

PIVOTS = (
    Pivot(
        heading="A job, from being enqueued until it is over",
        rows=(
            ("costs", "one episode"),
            ("costs-ten", "ten episodes"),
            ("costs-unmetered", "one episode, without admission"),
            ("costs-apart", "one episode, results on another Redis"),
        ),
        columns=(
            *_CPU,
            ("scripts", "scripts"),
            ("received", "bytes to Redis"),
            ("sent", "bytes from Redis"),
            ("waiting", "bytes in Redis while it waits"),
            ("kept", "bytes in Redis afterwards"),
            ("rate", "enqueued a second"),
            ("redis_full", "jobs/s at one full core of Redis"),
            ("memory", "memory of the worker"),
        ),
    ),
    Pivot(
        heading="What stays in Redis of a job that is over, in bytes",
        rows=(("kept", "one episode"),),
        columns=(
            ("hour", "working state, for an hour"),
            ("day", "result, for a day"),
            ("week", "for a week"),
            ("bounded", "records and events, up to their number"),
        ),
    ),
    Pivot(
        heading="Workers, on the same cores",
        rows=(("workers-", "{workers}"),),
        columns=(
            *_CPU,
            ("rate", "jobs a second"),
            ("idle_worker", "CPU of an idle worker"),
            ("idle_redis", "CPU of Redis for it"),
            ("idle_commands", "commands a second of it"),
        ),
    ),
    Pivot(
        heading="Projects and connections, each with meters of its own",
        rows=(
            ("projects-", "{projects:,} projects"),
            ("connections", "{projects:,} projects, {connections} connections each"),
        ),
        columns=(
            *_CPU,
            ("first_worker_cpu", "CPU of workers, first job of a project"),
            ("first_redis_cpu", "CPU of Redis, first job of a project"),
            ("kept", "bytes in Redis of it"),
            ("grown", "memory that first jobs added to the worker"),
            ("memory", "memory of the worker"),
        ),
    ),
    Pivot(
        heading="Jobs that wait",
        rows=(("backlog-", "{jobs:,}"),),
        columns=(
            *_CPU,
            ("waiting", "bytes in Redis of one"),
            ("resident", "memory of Redis"),
            ("rate", "enqueued a second"),
            ("served", "done a second beside them"),
            ("viewed", "listing all lanes"),
            ("memory", "memory of the worker"),
        ),
    ),
)


def tables(measured: Sequence[RowResult]) -> Iterator[str]:
    """Those of which anything was measured; in Markdown. A cell is the median, and least to greatest below it."""
    for pivot in PIVOTS:
        found = [(row, says) for row in measured for name, says in pivot.rows if _is(row, name)]
        if found:
            yield ""
            yield f"### {pivot.heading}"
            yield ""
            yield f"| | {' | '.join(head for _, head in pivot.columns)} | repeats |"
            yield f"|---{'|---' * len(pivot.columns)}|---|"
            for row, says in found:
                lines = {line.key: line for line in row.lines}
                cells = [says.format(**row.sizes), *(_cell(lines.get(key)) for key, _ in pivot.columns)]
                yield f"| {' | '.join([*cells, str(max(len(line.values) for line in row.lines))])} |"


def _is(row: RowResult, name: str) -> bool:
    return row.name == name or (name.endswith("-") and row.name.startswith(name))


def _cell(line: Line | None) -> str:
    if line is None or not line.values:
        return ""
    least, median, greatest = (written(line.form, value) for value in line.spread)
    return median if least == greatest else f"{median}<br>({least} to {greatest})"
