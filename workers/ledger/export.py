"""Usage records to files: JSON Lines or CSV, resumable, nothing twice.

An export with a state file remembers up to where it has read, and how long the output file was then. Lines beyond that
length were written by a run that ended before it could remember them: they are cut off and written again.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.contract import AttemptRecord, TokenUsage
from workers.ledger.errors import ExportError
from workers.ledger.stream import START, Cursor, Entry, Gap, RecordStream

#: Records read at once.
BATCH = 1_000

#: A record enters the stream when its call is over, by the server's clock: so much later than it started, at most, or
#: so much earlier where clocks differ.
_SLACK = timedelta(hours=1)

#: Columns of the CSV, in their order. New ones are only ever added at the end.
COLUMNS = (
    "id",
    "started_at",
    "job_id",
    "attempt",
    "account",
    "project",
    "provider",
    "connection",
    "role",
    "model",
    "served_model",
    "credential_version",
    "priority",
    "status",
    "action",
    *(f"{kind}_tokens" for kind in TokenUsage.model_fields),
    "cost_usd",
    "price",
    "latency_ms",
    "queue_wait_ms",
    "request_id",
    "labels",
    "tier",
    "estimated_input",
    "estimated_text",
    "packed",
    "tokens_saved",
)


class Format(StrEnum):
    """How records are written."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records are exported."""

    #: Attempts that began at or after, and before.
    since: datetime | None = None
    until: datetime | None = None
    project: str | None = None

    def takes(self, record: AttemptRecord) -> bool:
        """Whether a record is exported."""
        return (
            (self.since is None or record.started_at >= self.since)
            and (self.until is None or record.started_at < self.until)
            and self.project in {None, record.project}
        )

    @property
    def start(self) -> Cursor:
        """Before the first record that may be taken."""
        return Cursor() if self.since is None else Cursor.at(self.since - _SLACK)

    def ends_before(self, entry: Entry) -> bool:
        """Whether no record from this entry on can be taken."""
        milliseconds, _, _ = entry.id.partition("-")
        return self.until is not None and int(milliseconds) / 1000 > (self.until + _SLACK).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What one batch came to."""

    written: int
    cursor: Cursor
    gap: Gap | None = None
    before_first: int = 0
    #: Whether nothing can follow, since all else began too late.
    complete: bool = False


class Target(Protocol):
    """Where lines go."""

    def write(self, text: str) -> None:
        """Write lines."""

    def keep(self, cursor: Cursor) -> None:
        """Remember, safely, that all up to here is written."""


def export(
    stream: RecordStream, target: Target, render: Callable[[AttemptRecord], str], selection: Selection, cursor: Cursor
) -> Iterator[Exported]:
    """Write what the stream holds beyond a cursor, a batch at a time, until its end.

    Raises:
        ExportError: the target cannot be written to.
        UnreadableRecord: an entry is not a usage record.
        redis.RedisError: the stream cannot be read.
    """
    while True:
        read = stream.read(cursor, count=BATCH)
        over = next((place for place, entry in enumerate(read.entries) if selection.ends_before(entry)), None)
        entries = read.entries[:over]
        lines = [render(record) for record in (entry.record() for entry in entries) if selection.takes(record)]
        cursor = read.cursor if over is None else Cursor(last=entries[-1].id if entries else cursor.last)
        target.write("".join(lines))
        target.keep(cursor)
        yield Exported(
            written=len(lines),
            cursor=cursor,
            gap=read.gap,
            before_first=read.before_first,
            complete=over is not None,
        )
        if over is not None or not read.entries:
            return


def as_json_line(record: AttemptRecord) -> str:
    """A record as one line of JSON."""
    return record.model_dump_json(exclude_none=True) + "\n"


def as_csv_line(record: AttemptRecord) -> str:
    """A record as one line of CSV. A price that is not known is `unknown`, and its cost empty: never 0."""
    document: dict[str, Any] = record.model_dump(mode="json")
    document |= {f"{kind}_tokens": tokens for kind, tokens in document["usage"].items()}
    document["price"] = "unknown" if record.price is None else _compact(record.price)
    document["labels"] = _compact(record.labels)
    return csv_line(document[column] for column in COLUMNS)


def csv_line(values: Any) -> str:
    """One line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


class State(BaseModel):
    """What a state file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    last: str = START
    place: int | None = None
    #: What the export was asked for: another file, format or project is another export.
    out: str
    format: Format
    project: str | None
    #: Bytes of the output file that were written when this was; None for a stream that cannot be cut.
    size: int | None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What a file holds; None when there is none.

        Raises:
            ExportError: it is not a state file.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise ExportError(f"{path} is not a state file of `byom usage export`; name another") from None

    def write(self, path: Path) -> None:
        """Replace the file, so that it is never half written.

        Raises:
            OSError: it cannot be written.
        """
        beside = path.with_name(f".{path.name}.new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
