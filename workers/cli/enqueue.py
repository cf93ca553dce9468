"""`byom enqueue`: a file of jobs onto the queues, all or none."""

import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from typing import IO, Annotated, Any

import typer
from rich.markup import escape

from config.connections import effective_chain
from config.errors import ConfigError, StoreError
from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import LIMITS, ExtractionJob, JobRefused
from workers.cli.console import JsonFlag, err, out, print_json, progress
from workers.cli.context import open_producer
from workers.cli.errors import CommandError, ExitCode, broker_trouble
from workers.cli.examples import examples
from workers.cli.job_lines import BadLine, JobLine, read_jobs
from workers.cli.options import ProjectOption
from workers.cli.outcomes import await_outcome
from workers.cli.pauses import paused_projects, resume_command
from workers.enqueue.backlog import wait_words
from workers.enqueue.producer import JobHandle, Producer

EXAMPLES = examples(
    "byom enqueue examples/conversations.jsonl --project acme",
    "byom enqueue examples/conversations.jsonl --project acme --wait --json > memories.jsonl",
    "zcat archive.jsonl.gz | byom enqueue - --project acme --idempotent --skip-invalid",
    "byom enqueue archive.jsonl --project acme --economy",
    "byom enqueue notes.jsonl --project acme --pack 1000",
    notes="Each line is a whole job (see `byom schema extraction-job.v1`) or a bare episode.\n"
    "The whole file is checked first; one bad line refuses all, unless --skip-invalid is given.\n"
    "Ends with 1 when a job failed, was done in part only, or had not ended in time.",
)

#: Bytes of piped input that are kept in memory; more goes to a temporary file.
_SPOOL = 64 * 2**20
_SHOWN = 20
#: Seconds of waiting that are worth a word.
_LONG = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A line that became a job."""

    line: int
    project: str
    handle: JobHandle

    def as_json(self) -> dict[str, Any]:
        """Where the line went."""
        return {
            "line": self.line,
            "project": self.project,
            "job_id": self.handle.id,
            "duplicate": self.handle.duplicate,
        }


def enqueue(
    file: Annotated[Path, typer.Argument(help="JSON Lines; - reads stdin.")],
    project: ProjectOption = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the results and print them in order.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for all of them.")] = 600,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Enqueue the good lines all the same.")] = False,
    idempotent: Annotated[
        bool, typer.Option("--idempotent", help="Make keys of the content: the same file again runs nothing twice.")
    ] = False,
    economy: Annotated[
        bool, typer.Option("--economy", help="Take the vendor's cheaper, slower ways where there are any: up to a day.")
    ] = False,
    pack: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LIMITS.pack_tokens,
            metavar="TOKENS",
            help="Let small episodes share prompts of so many tokens together.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Enqueue the jobs of a JSON Lines file."""
    settings = load_settings()
    with _opened(file) as source, open_producer(settings) as producer:
        refuse = _Refusals(settings)
        read = partial(
            read_jobs,
            source,
            project=project,
            idempotent=idempotent,
            refuse=refuse,
            economy=economy,
            pack_tokens=pack,
        )
        total = _check(read(), skip_invalid=skip_invalid)
        source.seek(0)
        sent: list[Sent] = []
        for one in _send(producer, read(), total=total, quiet=as_json):
            sent.append(one)
            if as_json and not wait:
                print_json(one.as_json())
        if not as_json:
            _report(sent)
            _note_backlogs(producer, sent)
        if wait and not _collect(sent, timeout=timeout, as_json=as_json):
            raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The file; stdin and pipes are copied to where they can be read twice."""
    with ExitStack() as exits:
        try:
            handle = sys.stdin.buffer if str(file) == "-" else exits.enter_context(file.open("rb"))
            if not handle.seekable():
                copy = exits.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL))
                copyfileobj(handle, copy)
                copy.seek(0)
                handle = copy
        except OSError as error:
            raise CommandError(f"cannot read {file}: {error.strerror}", code=ExitCode.USAGE) from error
        yield handle


class _Refusals:
    """Why projects cannot take jobs; each is looked up once."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings.store_url, key=settings.store_key)
        self._known: dict[str, str | None] = {}

    def __call__(self, project: str) -> str | None:
        """The reason, or None."""
        if project not in self._known:
            try:
                effective_chain(self._store, project)
                self._known[project] = None
            except StoreError:
                raise
            except ConfigError as error:
                self._known[project] = str(error)
        return self._known[project]


def _check(lines: Iterable[JobLine | BadLine], *, skip_invalid: bool) -> int:
    """Read everything once before anything is sent; how many lines are good.

    Raises:
        CommandError: a line is bad and may not be skipped, or none is good.
    """
    good = 0
    bad: list[BadLine] = []
    for line in lines:
        if isinstance(line, BadLine):
            bad.append(line)
        else:
            good += 1
    if bad and not skip_invalid:
        listed = "\n".join(f"  line {line.number}: {line.problem}" for line in bad[:_SHOWN])
        rest = f"\n  … and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise CommandError(
            f"{len(bad)} of {good + len(bad)} lines are no jobs; nothing was enqueued:\n{listed}{rest}\n"
            "Mend them, or enqueue the others with --skip-invalid.",
            code=ExitCode.USAGE,
            details={"invalid": [{"line": line.number, "problem": line.problem} for line in bad]},
        )
    for line in bad:
        err.print(f"[yellow]skipped[/] line {line.number}: {escape(line.problem)}")
    if not good:
        raise CommandError("there is no job to enqueue", code=ExitCode.USAGE)
    return good


def _send(producer: Producer, lines: Iterable[JobLine | BadLine], *, total: int, quiet: bool) -> Iterator[Sent]:
    """Enqueue the good lines, in order."""
    under_way: deque[JobLine] = deque()
    done = 0

    def jobs() -> Iterator[ExtractionJob]:
        for line in lines:
            if isinstance(line, JobLine):
                under_way.append(line)
                yield line.job

    try:
        with progress(quiet=quiet) as bar:
            task = bar.add_task("enqueueing", total=total)
            for handle in producer.enqueue_many(jobs()):
                done += 1
                bar.advance(task)
                line = under_way.popleft()
                yield Sent(line=line.number, project=line.job.project, handle=handle)
    except JobRefused as error:
        raise CommandError(
            f"{error.message} {done} of {total} jobs were enqueued; with --idempotent the same file can be enqueued "
            "again, and nothing runs twice.",
            code=ExitCode.FAILED,
            details={**error.details, "enqueued": done, "total": total},
        ) from None
    except Exception as error:
        cause = broker_trouble(error)
        if cause is None:
            raise
        raise CommandError(
            f"the broker stopped answering: {str(cause).rstrip('.')}. {done} of {total} jobs are known to be enqueued. "
            "With --idempotent the same file can be enqueued again and again, and nothing runs twice.",
            code=ExitCode.UNREACHABLE,
            details={"enqueued": done, "total": total},
        ) from error


def _report(sent: list[Sent]) -> None:
    for one in sent[:_SHOWN]:
        known = "  [dim]known already[/]" if one.handle.duplicate else ""
        out.print(f"{one.handle.id}  {escape(one.project)}  line {one.line}{known}")
    if len(sent) > _SHOWN:
        out.print(f"… and {len(sent) - _SHOWN:,} more; --json prints every id")
    duplicates = sum(one.handle.duplicate for one in sent)
    err.print(
        f"Enqueued {len(sent) - duplicates:,} jobs" + (f", {duplicates:,} were known already" if duplicates else "")
    )


def _note_backlogs(producer: Producer, sent: list[Sent]) -> None:
    """Say which projects are paused, or have so much waiting that whoever enqueues more will wait long."""
    for project in list(dict.fromkeys(one.project for one in sent))[:_SHOWN]:
        backlog = producer.backlog(project)
        for words, _ in paused_projects(backlog.pauses):
            err.print(
                f"[yellow]Note:[/] {escape(words)} is paused: jobs wait until somebody resumes it. "
                f"See: {escape(resume_command(project))}"
            )
        if backlog.expected_wait is not None and backlog.expected_wait > _LONG:
            err.print(
                f"[yellow]Note:[/] {backlog.waiting:,} jobs of project '{escape(project)}' wait; at its limits the "
                f"last of them can go in about {wait_words(backlog.expected_wait)}. "
                f"See: byom lanes list --project {escape(project)}"
            )


def _collect(sent: list[Sent], *, timeout: float, as_json: bool) -> bool:
    """Wait for all jobs and print how each ended, in the order of the file; whether all went well."""
    deadline = time.monotonic() + timeout
    good = 0
    with progress(quiet=as_json) as bar:
        task = bar.add_task("waiting", total=len(sent))
        for one in sent:
            outcome = await_outcome(one.handle, timeout=max(0.0, deadline - time.monotonic()), told=timeout)
            good += outcome.good
            if as_json:
                print_json(outcome.as_json())
            else:
                out.print(outcome.line())
            bar.advance(task)
    if not as_json:
        err.print(f"{good:,} of {len(sent):,} jobs went well")
    return good == len(sent)
