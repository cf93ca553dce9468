"""How backfills are shown: a bar while they run, a table of them, and a report."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.markup import escape

from workers.backfill.driver import Driver, Step
from workers.backfill.lines import done, usd
from workers.backfill.report import Report
from workers.cli.console import err, out, progress, table

#: Seconds of the past over which the rate is taken.
_SPAN = 30.0


@contextmanager
def shown(driver: Driver, *, lines: int, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A progress bar; call what it yields after each step."""
    with progress(quiet=quiet, extra="figures") as bar:
        task = bar.add_task("lines", total=lines, figures="")
        past: deque[tuple[float, int]] = deque()

        def told(_: Step) -> None:
            now, ready = time.monotonic(), done(driver.sums)
            past.append((now, ready))
            while now - past[0][0] > _SPAN:
                past.popleft()
            bar.update(
                task,
                completed=ready,
                figures=figures(driver.sums, past, in_flight=driver.in_flight, left=lines - ready),
            )

        yield told


def figures(sums: Mapping[str, int], past: Sequence[tuple[float, int]], *, in_flight: int, left: int) -> str:
    """What stands behind the bar, as markup: pace, time left, money, and what did not go as planned.

    Args:
        sums: of the backfill.
        past: moments of the last half minute in seconds, and how many lines were done by then; the newest is the last.
        in_flight: lines.
        left: lines.
    """
    seconds, lines = past[-1][0] - past[0][0], past[-1][1] - past[0][1]
    parts = [f"{lines / seconds:,.1f}/s" if seconds and lines else "…"]
    if seconds and lines:
        parts.append(f"{span(left * seconds / lines)} left")
    unknown = f" + {sums['unpriced']:,} of unknown cost" if sums.get("unpriced") else ""
    parts.append(f"${usd(sums.get('pico', 0)):.2f}{unknown}")
    parts.append(f"{in_flight:,} in flight")
    for word, colour in (("fallbacks", "yellow"), ("partial", "yellow"), ("failed", "red"), ("invalid", "red")):
        if sums.get(word):
            parts.append(f"[{colour}]{sums[word]:,} {word}[/]")
    return "  ".join(parts)


def span(seconds: float) -> str:
    """A span as people say it: its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts[:2]) or "0 s"


def show_list(reports: Iterable[Report]) -> None:
    """A table of backfills."""
    columns = ["BACKFILL", "PROJECT", "STATE", "DONE", "OF", "FAILED", "IN FLIGHT", "COST USD", "CREATED"]
    rows = [
        [
            report.snapshot.definition.name,
            report.snapshot.definition.project,
            report.state,
            f"{report.done:,}",
            f"{report.snapshot.definition.lines:,}",
            f"{report.sums.get('failed', 0):,}",
            f"{report.snapshot.in_flight:,}",
            f"{report.spent:.4f}",
            f"{report.snapshot.definition.created_at:%Y-%m-%d %H:%M}",
        ]
        for report in reports
    ]
    out.print(table(columns, rows, right=["DONE", "OF", "FAILED", "IN FLIGHT", "COST USD"]))


def show_status(report: Report) -> None:
    """Where a backfill is, in a few lines."""
    snapshot, sums = report.snapshot, report.sums
    definition = snapshot.definition
    why = f": {snapshot.orders.why}" if snapshot.orders.why else ""
    out.print(f"[bold]{escape(definition.name)}[/]  project {escape(definition.project)}  {report.state}{escape(why)}")
    out.print(f"  {report.done:,} of {definition.lines:,} lines done, {snapshot.in_flight:,} in flight")
    budget = "" if snapshot.orders.budget is None else f" of ${snapshot.orders.budget}"
    unknown = f", and {sums['unpriced']:,} jobs of unknown cost" if sums.get("unpriced") else ""
    out.print(f"  ${report.spent:.4f}{budget} spent{unknown}")
    if snapshot.driver is not None:
        out.print(f"  driven by {escape(snapshot.driver)}")
    elif report.state == "stopped":
        out.print(f"  nobody drives it; go on with: byom backfill resume {escape(definition.name)}")
    elif report.state == "cancelling":
        out.print(f"  nobody winds it up; do so with: byom backfill cancel {escape(definition.name)}")


def show_report(report: Report) -> None:
    """How a backfill went."""
    show_status(report)
    document, sums = report.as_json(), report.sums
    words = ("succeeded", "partial", "failed", "cancelled", "known", "invalid", "duplicates")
    out.print("  " + ", ".join(f"{sums[word]:,} {word}" for word in words if sums.get(word)))
    tokens = document["usage"]["tokens"]
    out.print(
        f"  {sums.get('attempts', 0):,} calls, {tokens['input'] + tokens['cached_input'] + tokens['cache_write']:,} "
        f"tokens in, {tokens['output']:,} out; {sums.get('fallbacks', 0):,} jobs by a fallback"
    )
    for code, count in report.failures.items():
        out.print(f"  [red]{count:,}[/] {escape(code)}")
    if sums.get("rerun"):
        out.print(f"  {sums['rerun']:,} jobs ran again: how they ended was not known any more")
    if report.snapshot.definition.out:
        out.print(f"  results: {escape(report.snapshot.definition.out)}")
    out.print(f"  took {span(document['seconds'])}")


def say_outcome(report: Report) -> None:
    """One line about the end, on stderr."""
    snapshot = report.snapshot
    err.print(
        f"Backfill '{escape(snapshot.definition.name)}': {report.done:,} of {snapshot.definition.lines:,} lines done, "
        f"{report.sums.get('failed', 0) + report.sums.get('invalid', 0):,} failed, ${report.spent:.4f} spent."
    )
