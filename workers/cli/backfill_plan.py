"""`byom backfill plan`: what a file of episodes will take, before anything is enqueued."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection, effective_chain
from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import LIMITS
from workers.backfill.conditions import parse_conditions
from workers.backfill.entries import BadLine, Defaults, Entry
from workers.backfill.errors import BackfillError
from workers.backfill.estimate import Estimate, Estimator
from workers.backfill.expectation import LEAST_CALLS
from workers.backfill.plan import Survey, survey
from workers.backfill.sample import Sample, extract, new_name
from workers.backfill.select import Selection
from workers.backfill.source import read_lines
from workers.backfill.standing import read_standings
from workers.cli.backfill_plan_view import estimate_as_json, show_estimate
from workers.cli.console import JsonFlag, err, print_json, progress
from workers.cli.context import open_producer
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.options import RequiredProject, identifier

EXAMPLES = examples(
    "byom backfill plan episodes.jsonl.gz --project acme",
    "byom backfill plan episodes.parquet -p acme --pack 0,1000,4000 --economy --rejects bad.jsonl",
    "zcat archive.gz | byom backfill plan - -p acme -c primary --json",
    "byom backfill plan episodes.jsonl.gz -p acme --sample 100",
    "byom backfill plan episodes.jsonl -p acme --results earlier.jsonl --where 'prompt_version<2'",
    notes="No call is made and nothing is enqueued, unless --sample asks for it.\n"
    "Ends with 1 when lines are no jobs; these are listed, and the plan is of the others.",
)

#: Seconds that a job of a sample may take.
_SAMPLE_TIMEOUT: Final = 120.0
#: Bad lines that are listed; --rejects has them all.
_LISTED: Final = 20

Results = Annotated[
    list[str] | None,
    typer.Option("--results", metavar="FILE", help="Earlier results; what has one is left out. Repeatable."),
]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITIONS", help="Of these, do again what meets, such as 'prompt_version<2'."),
]


def plan(
    file: Annotated[str, typer.Argument(help="JSON Lines, gzip or not, or Parquet; - reads stdin.")],
    project: RequiredProject,
    connection: Annotated[
        list[str] | None,
        typer.Option("--connection", "-c", help="Only this connection; repeatable. Without it, all of the project."),
    ] = None,
    pack: Annotated[
        str, typer.Option(metavar="N,N,…", help="Tokens of episodes that share a prompt, to compare; 0: none.")
    ] = "0",
    economy: Annotated[bool, typer.Option("--economy", help="Compare the cheaper, slower tiers, too.")] = False,
    results: Results = None,
    where: Where = None,
    sample: Annotated[
        int | None,
        typer.Option(min=10, max=1_000, metavar="N", help="First extract N lines from all over the file; costs money."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what is wrong with bad lines here, as JSON Lines.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a file of episodes, and say what a backfill of it takes: calls, tokens, cost and time."""
    settings, now = load_settings(), datetime.now(UTC)
    links = _chosen(effective_chain(open_store(settings.store_url, key=settings.store_key), project), connection)
    packs = _packs(pack)
    with _told():
        selection = read_selection(results, where)
        standings = read_standings(settings.redis_url, links, catalogue=load_catalogue(), now=now)
        estimator = Estimator(standings, packs=packs, economy=economy, floor=settings.backfill_floor, now=now)
        taken = Sample(sample or 0)

        def take(entry: Entry) -> None:
            estimator.add(entry)
            if sample:
                taken.add(entry)

        with _rejecting(rejects) as (reject, listed), progress(quiet=as_json) as bar:
            task = bar.add_task(f"reading {escape(file)}", total=None)
            seen = Survey()
            for seen in survey(
                read_lines(file), Defaults(project=project), take=take, reject=reject, selection=selection
            ):
                bar.update(task, completed=seen.lines)
    if taken.entries:
        name = _extract(taken, settings, quiet=as_json)
        standings = read_standings(
            settings.redis_url, links, catalogue=load_catalogue(), now=datetime.now(UTC), sample=name
        )
    _report(project, seen, estimator.estimate(standings), listed, as_json=as_json, rejects=rejects)
    if seen.bad:
        raise typer.Exit(ExitCode.FAILED)


def _extract(sample: Sample, settings: Settings, *, quiet: bool) -> str:
    """Extract a sample; the name by which its records are found.

    Raises:
        CommandError: too little of it went well to learn from.
    """
    name = new_name()
    with open_producer(settings) as producer, progress(quiet=quiet) as bar:
        task = bar.add_task("extracting a sample", total=len(sample.entries))
        good = 0
        for went_well in extract(sample, producer, name=name, timeout=_SAMPLE_TIMEOUT):
            good += went_well
            bar.advance(task)
    if good < min(LEAST_CALLS, len(sample.entries)):
        raise CommandError(
            f"{good} of {len(sample.entries)} lines of the sample could be extracted, too few to learn from; are "
            "workers running? `byom doctor` looks closer, and without --sample the plan rests on what is known",
            code=ExitCode.FAILED,
        )
    return name


def read_selection(results: Sequence[str] | None, where: str | None) -> Selection:
    """What is to be done, from the options that say so.

    Raises:
        BackfillError: they cannot be followed.
        CommandError: one is missing.
    """
    if where is not None and not results:
        raise CommandError("--where speaks of earlier results; say where they are: --results FILE", code=ExitCode.USAGE)
    return Selection.read(results or (), where=parse_conditions(where) if where is not None else None)


def _chosen(chain: Sequence[EffectiveConnection], names: Sequence[str] | None) -> list[EffectiveConnection]:
    """The connections to compare, in the order in which they are tried.

    Raises:
        CommandError: the project has not all of them.
    """
    known = [link.connection.name for link in chain]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        for name in unknown:
            identifier(name)
        raise CommandError(
            f"project '{chain[0].project}' has no connection '{unknown[0]}'; it has {', '.join(known)}",
            code=ExitCode.USAGE,
        )
    return [link for link in chain if not names or link.connection.name in names]


def _packs(text: str) -> list[int | None]:
    """Sizes of packs from a list; 0 is None.

    Raises:
        BadParameter: it is none.
    """
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [-1]
    if any(not 0 <= size <= LIMITS.pack_tokens for size in sizes):
        raise typer.BadParameter(
            f"write numbers of tokens up to {LIMITS.pack_tokens:,}, such as 0,1000", param_hint="--pack"
        )
    return [size or None for size in dict.fromkeys(sizes)]


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with the input, as commands say it."""
    try:
        yield
    except BackfillError as error:
        raise CommandError(str(error), code=ExitCode.USAGE) from error


@contextmanager
def _rejecting(path: Path | None) -> Iterator[tuple[Callable[[BadLine], None], list[BadLine]]]:
    """Where bad lines go: the first to a list, all of them to a file if there is to be one."""
    listed: list[BadLine] = []
    try:
        handle = path.open("w", encoding="utf-8") if path else None
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}", code=ExitCode.USAGE) from error

    def reject(line: BadLine) -> None:
        if len(listed) < _LISTED:
            listed.append(line)
        if handle is not None:
            handle.write(json.dumps(_document(line), ensure_ascii=False) + "\n")

    try:
        yield reject, listed
    finally:
        if handle is not None:
            handle.close()


def _document(line: BadLine) -> dict[str, Any]:
    return {"line": line.number, "problems": list(line.problems)}


def _report(
    project: str,
    seen: Survey,
    estimate: Estimate,
    listed: Sequence[BadLine],
    *,
    as_json: bool,
    rejects: Path | None,
) -> None:
    if as_json:
        counts = {"lines": seen.lines, "bad": seen.bad, "passed_over": seen.passed_over, "selected": seen.selected}
        bad_lines = [_document(line) for line in listed]
        print_json({"project": project, **counts, **estimate_as_json(estimate), "bad_lines": bad_lines})
        return
    for line in listed:
        err.print(f"[yellow]line {line.number}[/]: {escape('; '.join(line.problems))}")
    if seen.bad > len(listed):
        rest = f"; all are in {rejects}" if rejects else "; --rejects FILE lists them all"
        err.print(f"… and {seen.bad - len(listed):,} more bad lines{escape(rest)}")
    words = [f"{seen.lines:,} lines"]
    words += [f"{seen.bad:,} are no jobs"] if seen.bad else []
    words += [f"{seen.passed_over:,} have a result and are left out"] if seen.passed_over else []
    err.print(f"{', '.join(words)}: {seen.selected:,} to do, with {estimate.episodes:,} episodes")
    if seen.selected:
        show_estimate(estimate)
