"""`python -m tests.chaos`: chaos for as long as it is wanted; ends with 1 when anything was wrong."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.clocks import compiler
from tests.chaos.report import Report, again
from tests.chaos.rounds import plan_of, play
from tests.chaos.summary import Summary

#: Seeds of the first rounds, the same each time; those after them are drawn.
FIXED = (1, 2, 3)
#: Jobs per disturbance.
_JOBS_PER_STEP = 40
#: Jobs of a round in which nobody looks on.
_ROUND = 1_500

_err = Console(stderr=True)


def main(
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the first round, in which everybody looks on.")] = 10_000,
    minutes: Annotated[float, typer.Option(min=0, help="Further rounds begin until jobs have flowed for so many.")] = 0,
    seed: Annotated[
        int | None, typer.Option(help="Play this seed's first round and no other.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Disturbances of the first round.", show_default="jobs / 40")
    ] = None,
    watched: Annotated[
        bool, typer.Option(help="Let Flower, a database and all commands look on in the first round.")
    ] = True,
    folder: Annotated[
        Path | None, typer.Option(help="Where logs go; without it, a new one.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON lines.")] = False,
) -> None:
    """Kill, stop and starve a pool under traffic, and hold its ledger against the vendors' own books."""
    if compiler() is None:
        _err.print("[yellow]There is no C compiler here: all clocks are right.[/]")
    reports: list[Report] = []
    for number, (chosen, count) in enumerate(_rounds(seed, jobs)):
        if number and sum(report.traffic_seconds for report in reports) >= minutes * 60:
            break
        planned = steps if steps is not None and not number else max(1, count // _JOBS_PER_STEP)
        where = None if folder is None else folder / f"round-{number + 1}"
        if where is not None:
            where.mkdir(parents=True)
        watches = watched and not number
        line = again(seed=chosen, jobs=count, steps=planned, watched=watches)
        _err.print(f"[bold]Round {number + 1}[/]: {line}", highlight=False, soft_wrap=True)
        with _shown(count, planned, chosen) as (told, progress), _saying(line):
            report = play(
                plan_of(chosen, steps=planned),
                jobs=count,
                watched=watches,
                folder=where,
                told=told,
                progress=progress,
            )
        reports.append(report)
        _tell(report, number=number + 1, as_json=as_json)
    wrong = [report for report in reports if report.problems]
    summary = Summary.of(reports)
    if as_json:
        os.write(1, (json.dumps({"summary": asdict(summary)}) + "\n").encode())
    for line in summary.lines:
        _err.print(f"[bold]{line}[/]", highlight=False)
    _err.print("[bold green]nothing wrong[/]" if not wrong else f"[bold red]{len(wrong)} rounds went wrong[/]")
    for report in wrong:
        _err.print(f"Again: {report.again}\n  logs: {report.folder}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if wrong else 0)


def _rounds(seed: int | None, jobs: int) -> Iterator[tuple[int, int]]:
    """Seed and jobs of one round after the other."""
    if seed is not None:
        yield seed, jobs
        return
    first, *others = FIXED
    yield first, jobs
    for other in others:
        yield other, _ROUND
    while True:
        yield random.SystemRandom().randrange(10**6), _ROUND


@contextmanager
def _saying(line: str) -> Iterator[None]:
    """Say how to play a round again that came to no verdict at all."""
    try:
        yield
    except BaseException:
        _err.print(f"[bold red]no verdict[/]; again: {line}", highlight=False, soft_wrap=True)
        raise


@contextmanager
def _shown(jobs: int, steps: int, seed: int) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Show how far a round is; yields what takes lines, and what takes numbers."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bar:
        task = bar.add_task(f"seed {seed}", total=jobs)

        def progress(ended: int, done: int) -> None:
            bar.update(task, completed=min(ended, jobs), description=f"seed {seed}, {done} of {steps} disturbances")

        def told(line: str) -> None:
            _err.print(f"  [dim]{time.strftime('%H:%M:%S')} {line}[/]", highlight=False)

        yield told, progress


def _tell(report: Report, *, number: int, as_json: bool) -> None:
    if as_json:
        os.write(1, (json.dumps(asdict(report)) + "\n").encode())
    faults = ", ".join(f"{count} {what}" for what, count in sorted(report.faults.items()))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.settled_by_provider.items()))
    endings = ", ".join(f"{count:,} {status}" for status, count in sorted(report.endings.items()))
    lines = (
        f"[bold]Round {number}, seed {report.seed}[/]: {report.jobs:,} jobs in {report.seconds:.0f} s",
        f"  disturbed by {faults}; {report.struck:,} faults of vendors",
        f"  jobs: {endings}; {report.repeats} enqueued twice, {report.refused} tries of enqueueing failed",
        (
            f"  ledger: {report.attempts:,} attempts, {report.tokens:,} tokens, {report.cost_usd} USD; "
            f"{report.agreed} ways of looking at it agree"
        ),
        (
            f"  vendors: {report.settled:,} billed calls equal to the token ({kinds}), and {report.silent_tokens:,} "
            "tokens of calls without an answer"
        ),
        (
            f"  those are in the ledger: {report.unheard} as unanswered, {report.lost} as lost; "
            f"{report.written_off - report.lost} more were written off that no vendor billed"
        ),
    )
    for line in (*lines, *(f"  [red]wrong:[/] {problem}" for problem in report.problems)):
        _err.print(line, highlight=False)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
