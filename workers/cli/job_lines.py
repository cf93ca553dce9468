"""Jobs from a file of JSON Lines: each line a whole job, or a bare episode that becomes a job of its own.

With packing, neighbouring bare episodes that may share a prompt become one job: else there would be nothing to share.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks.contract import ExtractionJob, JobRefused, parse_job
from workers.backfill.documents import NoDocument, read_document
from workers.backfill.groups import Grouping, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """A line that is a job, or the first of those that are one together."""

    number: int
    job: ExtractionJob
    #: Whether it was a bare episode.
    is_bare: bool = False


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
    pack_tokens: int | None = None,
) -> Iterator[JobLine | BadLine]:
    """Read line by line; blank lines are skipped but counted.

    Args:
        lines: UTF-8, with or without a byte order mark.
        project: fills in where a line names none; a line may not name another.
        idempotent: give each job without an idempotency key one that is made of its content.
        refuse: why a project cannot take jobs, or None when it can.
        economy: whether all jobs may take the vendor's cheaper, slower ways, not only those that say so.
        pack_tokens: fills in where a job names none; episodes that have so many tokens together share a prompt.
    """
    read = _read(lines, project=project, refuse=refuse, economy=economy, pack_tokens=pack_tokens)
    for line in read if pack_tokens is None else _packed(read):
        yield replace(line, job=_with_key(line.job)) if idempotent and isinstance(line, JobLine) else line


def _read(
    lines: Iterable[bytes],
    *,
    project: str | None,
    refuse: Callable[[str], str | None],
    economy: bool,
    pack_tokens: int | None,
) -> Iterator[JobLine | BadLine]:
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            document = read_document(raw)
            is_bare = "episodes" not in document and "content" in document
            job = _job(_whole(document) if is_bare else document, project=project, pack_tokens=pack_tokens)
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
            yield JobLine(number=number, job=job, is_bare=is_bare)


def _packed(lines: Iterable[JobLine | BadLine]) -> Iterator[JobLine | BadLine]:
    """The same, neighbouring bare episodes together; whoever wrote whole jobs wants these."""
    grouping = Grouping[JobLine]()
    for line in lines:
        if isinstance(line, BadLine):
            yield line
            continue
        complete = [grouping.add(line)] if line.is_bare else [grouping.end(), [line]]
        yield from (replace(group[0], job=joined(group)) for group in complete if group)
    if rest := grouping.end():
        yield replace(rest[0], job=joined(rest))


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """A bare episode as a job. It may name its project too; an episode itself has no such field."""
    episode = dict(document)
    project = {"project": episode.pop("project")} if "project" in episode else {}
    return {**project, "episodes": [episode]}


def _job(document: dict[str, Any], *, project: str | None, pack_tokens: int | None) -> ExtractionJob:
    if project is not None and document.setdefault("project", project) != project:
        raise _Problem(f"project: is not '{project}', which --project says")
    if "project" not in document:
        raise _Problem("project: missing; name it in the line or with --project")
    if pack_tokens is not None:
        document.setdefault("pack_tokens", pack_tokens)
    return parse_job(document)


def _with_key(job: ExtractionJob) -> ExtractionJob:
    """The job with a key made of its content, so that the same line never runs twice."""
    if job.idempotency_key is not None:
        return job
    # How it is worked is not part of what it is.
    content = job.model_dump_json(exclude_defaults=True, exclude={"economy"})
    return job.model_copy(update={"idempotency_key": f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"})
