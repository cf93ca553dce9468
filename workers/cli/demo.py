"""`byom demo`: jobs of several projects through a real Valkey, worker and Flower, with an outage in the middle."""

import itertools
import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from config.settings import Settings, load_settings
from config.store import open_store
from tasks.contract import ExtractionJob, Role
from workers.cli.console import JsonFlag, err, out, progress
from workers.cli.demo_report import USAGE_BY, Report, print_report
from workers.cli.demo_scenes import Scene, choose
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.job_lines import BadLine, read_jobs
from workers.cli.laptop import Laptop, free_port, is_free, laptop
from workers.cli.outcomes import Outcome, await_outcome
from workers.cli.signals import Stop, stop_signals
from workers.enqueue.producer import JobHandle, Producer
from workers.ledger import UsageReader
from workers.redis.impatient import connect

EXAMPLES = examples(
    "byom demo",
    "byom demo --keep",
    "byom demo --live --jobs 3",
    "byom demo --local-model",
    notes="Needs nothing but this package: everything runs on this machine and is gone afterwards.\n"
    "--live makes real calls with a key found in OPENAI_API_KEY and the like.",
)

_CONVERSATIONS = Path(__file__).parents[2] / "examples" / "conversations.jsonl"
_FLOWER_PORT = 5555
_TICK = 0.2
#: Seconds without any job ending after which the demo gives up.
_STALLED = 120.0
_DONE = frozenset({"succeeded", "partial", "duplicate", "failed"})


def demo(
    live: Annotated[bool, typer.Option("--live", help="Call a real provider with a key from the environment.")] = False,
    local_model: Annotated[
        bool, typer.Option("--local-model", help="Run a real small model on this machine; no network.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, max=10_000, help="How many jobs.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep Flower running afterwards, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Watch jobs on seven providers flow through Valkey, a worker and Flower; one provider fails in the middle."""
    started = time.monotonic()
    with ExitStack() as exits:
        stop = exits.enter_context(stop_signals())
        scene = exits.enter_context(choose(live=live, local_model=local_model))
        if not as_json:
            err.print(f"[bold]{scene.honesty}[/]")
            err.print("Starting Valkey, a worker and Flower …")
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="byom-demo-")))
        settings = _settings(scene, directory)
        scene.save(open_store(settings.store_url, key=settings.store_key))
        running = exits.enter_context(_stack(settings, directory, stop))
        if not as_json:
            err.print(f"Flower: [link]{running.flower_url}[/]  ({escape(running.login_hint)})")
        producer = exits.enter_context(Producer.from_settings(running.settings))
        run = _Run(scene=scene, running=running, producer=producer, stop=stop)
        run.play(sample_jobs(jobs or scene.jobs, projects=tuple(scene.chains), short=scene.short), quiet=as_json)
        if stop.wanted:
            raise typer.Exit(ExitCode.INTERRUPTED)
        report = _report(run, seconds=time.monotonic() - started)
        print_report(report, as_json=as_json)
        _linger(running, stop, keep=keep, quiet=as_json)
    if report.surprises:
        raise typer.Exit(ExitCode.FAILED)


def _settings(scene: Scene, directory: Path) -> Settings:
    """The user's settings, with everything that is kept anywhere pointed into the demo's own directory."""
    return load_settings().model_copy(
        update={
            "store_url": f"file:{directory / 'store.json'}",
            "result_url": None,
            "concurrency": 50,
            "call_timeout": scene.call_timeout,
            "shutdown_timeout": 5.0,
            "rate_limits": {},
            **({"google_token_url": scene.google_token_url} if scene.google_token_url else {}),
        }
    )


def _stack(settings: Settings, directory: Path, stop: Stop) -> AbstractContextManager[Laptop]:
    return laptop(
        settings,
        port=0,
        flower_port=_FLOWER_PORT if is_free(_FLOWER_PORT) else free_port(),
        data_dir=directory / "valkey",
        grace=10,
        sink=lambda _name, _line: None,
        stop=stop,
    )


def sample_jobs(wanted: int, *, projects: Sequence[str], short: bool = False) -> list[ExtractionJob]:
    """The sample conversations in turn, each time for the next project.

    Args:
        wanted: how many.
        projects: whose they are.
        short: take those of one episode only, the shortest first.

    Raises:
        CommandError: the samples are not there, or damaged.
    """
    try:
        lines = _CONVERSATIONS.read_bytes().splitlines()
    except OSError as error:
        message = f"the sample conversations are not at {_CONVERSATIONS}; run the demo from a checkout"
        raise CommandError(message, code=ExitCode.USAGE) from error
    samples: list[ExtractionJob] = []
    for line in read_jobs(lines, project="demo", idempotent=False, refuse=lambda _project: None):
        if isinstance(line, BadLine):
            raise CommandError(f"{_CONVERSATIONS} line {line.number}: {line.problem}", code=ExitCode.USAGE)
        samples.append(line.job)
    if short:
        samples = sorted((job for job in samples if len(job.episodes) == 1), key=lambda job: len(job.episodes[0].text))
    return [
        sample.model_copy(update={"project": projects[(number + number // len(samples)) % len(projects)]})
        for number, sample in zip(range(wanted), itertools.cycle(samples), strict=False)
    ]


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of the demo."""

    scene: Scene
    running: Laptop
    producer: Producer
    stop: Stop
    #: Project and outcome of each job that has ended.
    ended: list[tuple[str, Outcome]] = field(default_factory=list)

    @property
    def fallbacks(self) -> int:
        """Jobs that a fallback finished."""
        return sum(_fell_back(outcome) for _project, outcome in self.ended)

    def play(self, jobs: Sequence[ExtractionJob], *, quiet: bool) -> None:
        """Run all jobs in three acts; during the second the outage lasts, if the scene has one."""
        third = math.ceil(len(jobs) / 3)
        acts = {"before": jobs[:third], "outage": jobs[third : 2 * third], "after": jobs[2 * third :]}
        with progress(quiet=quiet, extra="fallbacks") as bar:
            task = bar.add_task("", total=len(jobs), fallbacks="")
            for name, act in acts.items():
                if self.stop.wanted:
                    return
                outage = self.scene.outage if name == "outage" else None
                if outage is None:
                    bar.update(task, description="extracting")
                    self._act(act, bar, task)
                    continue
                bar.update(task, description=f"[red]{outage.provider.value} is down for {outage.project}[/]")
                outage.begin()
                try:
                    self._act(act, bar, task)
                finally:
                    outage.end()

    def _act(self, jobs: Sequence[ExtractionJob], bar: Progress, task: TaskID) -> None:
        waiting = {
            handle.id: (job.project, handle) for job, handle in zip(jobs, self.producer.enqueue_many(jobs), strict=True)
        }
        quiet_since = time.monotonic()
        while waiting and not self.stop.wait(_TICK):
            self.running.check()
            for project, handle in _finished(waiting.values()):
                del waiting[handle.id]
                self.ended.append((project, await_outcome(handle, timeout=10)))
                quiet_since = time.monotonic()
                bar.update(task, advance=1, fallbacks=f"{self.fallbacks} by fallback")
            if time.monotonic() - quiet_since > max(_STALLED, 2 * self.scene.call_timeout):
                raise CommandError(f"{len(waiting)} jobs do not end; {self.running.flower_url}", code=ExitCode.FAILED)


def _finished(waiting: Iterable[tuple[str, JobHandle]]) -> list[tuple[str, JobHandle]]:
    return [(project, handle) for project, handle in waiting if handle.state() in _DONE]


def _fell_back(outcome: Outcome) -> bool:
    return outcome.result is not None and any(
        provenance.role is Role.FALLBACK for provenance in outcome.result.provenance
    )


def _report(run: _Run, *, seconds: float) -> Report:
    now = datetime.now(UTC)
    with connect(run.running.settings.redis_url) as client:
        usage = UsageReader(client, now=now).totals(by=USAGE_BY)
    return Report(
        scene=run.scene,
        outcomes=run.ended,
        fallbacks=run.fallbacks,
        usage=usage,
        served_tokens=run.scene.served_tokens() if run.scene.served_tokens else None,
        flower_url=run.running.flower_url,
        seconds=seconds,
    )


def _linger(running: Laptop, stop: Stop, *, keep: bool, quiet: bool) -> None:
    """Keep everything running until Ctrl-C, if that is wished; else say how to."""
    if not keep:
        if not quiet:
            out.print("\nFlower stops now; `byom demo --keep` keeps it running.")
        return
    err.print(f"Kept running; Ctrl-C stops everything. Flower: {escape(running.login_hint)}.")
    while not stop.wait(1):
        running.check()
