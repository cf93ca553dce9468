"""Jobs from a file of JSON Lines: each line a whole job, or a bare episode that becomes a job of its own."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tasks.contract import ExtractionJob, JobRefused, parse_job
from workers.backfill.documents import NoDocument, read_document


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """A line that is a job."""

    number: int
    job: ExtractionJob


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is none."""

    number: int
    #: Names fields and limits, never what the line says.
    problem: str


class _Problem(Exception):
    """Why a line is no job."""


def read_jobs(
    lines: Iterable[bytes],
    *,
    project: str | None,
    idempotent: bool,
    refuse: Callable[[str], str | None],
    economy: bool = False,
) -> Iterator[JobLine | BadLine]:
    """Read line by line; blank lines are skipped but counted.

    Args:
        lines: UTF-8, with or without a byte order mark.
        project: fills in where a line names none; a line may not name another.
        idempotent: give each job without an idempotency key one that is made of its content.
        refuse: why a project cannot take jobs, or None when it can.
        economy: whether all jobs may take the vendor's cheaper, slower ways, not only those that say so.
    """
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            job = _job(raw, project=project)
            problem = refuse(job.project)
        except (NoDocument, _Problem) as error:
            problem = str(error)
        except JobRefused as error:
            problem = "; ".join(error.details["problems"])
        if problem is not None:
            yield BadLine(number=number, problem=problem)
        else:
            if economy:
                job = job.model_copy(update={"economy": True})
            yield JobLine(number=number, job=_with_key(job) if idempotent else job)


def _job(raw: bytes, *, project: str | None) -> ExtractionJob:
    document = read_document(raw)
    if "episodes" not in document and "content" in document:
        document = {"episodes": [document]}
        # A bare episode may name its project too; an episode itself has no such field.
        if "project" in document["episodes"][0]:
            episode = dict(document["episodes"][0])
            document = {"project": episode.pop("project"), "episodes": [episode]}
    if project is not None and document.setdefault("project", project) != project:
        raise _Problem(f"project: is not '{project}', which --project says")
    if "project" not in document:
        raise _Problem("project: missing; name it in the line or with --project")
    return parse_job(document)


def _with_key(job: ExtractionJob) -> ExtractionJob:
    """The job with a key made of its content, so that the same line never runs twice."""
    if job.idempotency_key is not None:
        return job
    # How it is worked is not part of what it is.
    content = job.model_dump_json(exclude_defaults=True, exclude={"economy"})
    return job.model_copy(update={"idempotency_key": f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"})
