"""From lines of the file to jobs in flight. Pure."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from tasks.contract import ExtractionJob, ExtractionResult, Failure, FailureCode, JobStatus
from workers.backfill.definition import job_id_of
from workers.backfill.entries import BadLine, Entry
from workers.backfill.groups import grouped, joined
from workers.backfill.state.base import Flight, LineRef
from workers.jobs import Ending


def groups_of(lines: Sequence[Entry | BadLine]) -> Iterator[Sequence[Entry | BadLine]]:
    """Lines that are to be one job, those that are none by themselves; in the order of the file."""
    for good, some in groupby(lines, key=lambda line: isinstance(line, Entry)):
        if good:
            yield from grouped(line for line in some if isinstance(line, Entry))
        else:
            yield from ([line] for line in some)


def job_of(group: Sequence[Entry | BadLine]) -> ExtractionJob | BadLine:
    """The job of a group, or the line that is none."""
    entries = [line for line in group if isinstance(line, Entry)]
    return joined(entries) if entries else next(line for line in group if isinstance(line, BadLine))


def flight_of(name: str, group: Sequence[Entry | BadLine], now: float) -> Flight:
    """The job of a group as it is noted before it is published."""
    lines = tuple(
        LineRef(number=line.number, id=line.id, episode_ids=tuple(episode.id for episode in line.job.episodes))
        if isinstance(line, Entry)
        else LineRef(number=line.number, id="", episode_ids=())
        for line in group
    )
    ids = [line.id or f"line {line.number}" for line in lines]
    return Flight(job_id=job_id_of(name, ids), lines=lines, since=now)


def invalid_ending(line: BadLine, project: str) -> Ending:
    """How a line ends that is no job."""
    message = f"the line is no job: {'; '.join(line.problems)}"
    return Ending(failure=Failure(code=FailureCode.INVALID_JOB, message=message, project=project))


def known_ending(job_id: str, job: ExtractionJob, elsewhere: str) -> Ending:
    """How a line ends whose own key ran before."""
    return Ending(
        result=ExtractionResult(job_id=job_id, project=job.project, status=JobStatus.DUPLICATE, duplicate_of=elsewhere)
    )


def went_well(ending: Ending) -> bool:
    """Whether nothing of a job is left to be done: another may be replayed, and takes up what it has."""
    return ending.result is not None and ending.result.status is JobStatus.SUCCEEDED
