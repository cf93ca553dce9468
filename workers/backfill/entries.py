"""From a line to a job of a backfill, with an id that is derived from what is to be extracted. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tasks.contract import Episode, ExtractionJob, JobRefused, Priority, parse_job
from workers.backfill.documents import NoDocument, read_document
from workers.backfill.source import Line

#: Fields that decide what is extracted. Labels, keys, priority and callbacks do not: with others, it is the same entry.
EXTRACTED: Final = ("project", "episodes", "context", "entity_types", "instructions", "language")
#: Fields of a bare episode; all others of its line are the job's.
_EPISODE_FIELDS: Final = frozenset(Episode.model_fields)
#: Where a bare episode stands in its job.
_BARE: Final = "episodes.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a line need not say itself."""

    #: The project; a line may repeat it, but not name another.
    project: str
    #: Labels of every job; a line may set others for the same keys.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Labels of every job, whatever its line says.
    stamps: Mapping[str, str] = field(default_factory=dict)
    #: Episodes that fit so many tokens together share one prompt; None: each has its own.
    pack_tokens: int | None = None
    #: Whether jobs may take the providers' cheaper, slower ways.
    economy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that is a job."""

    number: int
    #: 32 hexadecimal digits, the same wherever and whenever the same content is read.
    id: str
    #: Of priority `backfill`.
    job: ExtractionJob


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is none."""

    number: int
    #: Each names a field and what is wrong with it, never what the line says.
    problems: Sequence[str]


def parse_line(line: Line, defaults: Defaults) -> Entry | BadLine:
    """Read a line as a job: either whole (it has `episodes`), or a bare episode (it has `content`).

    A bare episode's line may carry fields of the job too, such as `labels` or `language`.
    """
    if line.problem is not None:
        return BadLine(number=line.number, problems=[line.problem])
    bare = False
    try:
        document = read_document(line.text)
        bare = "content" in document and "episodes" not in document
        job = parse_job(_completed(_whole(document) if bare else document, defaults))
    except (NoDocument, _OtherProject) as error:
        return BadLine(number=line.number, problems=[str(error)])
    except JobRefused as error:
        problems = map(_of_bare, error.details["problems"]) if bare else error.details["problems"]
        return BadLine(number=line.number, problems=list(problems))
    return Entry(number=line.number, id=entry_id(job), job=job)


def entry_id(job: ExtractionJob) -> str:
    """The id of what a job extracts."""
    content = job.model_dump(include=set(EXTRACTED), exclude_defaults=True)
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_instant)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _OtherProject(Exception):
    """The line belongs to another project."""


def _of_bare(problem: str) -> str:
    """A problem of a bare episode by the names that its line uses."""
    return problem.removeprefix(f"{_BARE}.") if problem.startswith(f"{_BARE}.") else problem.removeprefix(f"{_BARE}: ")


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """A bare episode as a job."""
    episode = {name: value for name, value in document.items() if name in _EPISODE_FIELDS}
    return {"episodes": [episode], **{name: value for name, value in document.items() if name not in episode}}


def _completed(document: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """A job with what its line did not say."""
    if document.get("project", defaults.project) != defaults.project:
        raise _OtherProject(f"project: is not '{defaults.project}', which the backfill is for")
    completed = {**document, "project": defaults.project, "priority": Priority.BACKFILL.value}
    labels = completed.get("labels", {})
    if isinstance(labels, dict) and (defaults.labels or defaults.stamps):
        completed["labels"] = {**defaults.labels, **labels, **defaults.stamps}
    if defaults.pack_tokens is not None:
        completed.setdefault("pack_tokens", defaults.pack_tokens)
    if defaults.economy:
        completed.setdefault("economy", True)
    return completed


def _instant(value: object) -> str:
    """The offset counts: the prompt shows the time as it was written."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no {type(value).__name__} belongs into a job")
