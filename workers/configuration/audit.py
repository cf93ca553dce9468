"""The audit log: who changed what of the configuration, and when. One JSON object per line, each chained to the last.

Each line holds its number and the SHA-256 of the line before it, so that a line that is altered, removed, put in or
moved breaks the chain. `<log>.head` holds the number and the hash of the newest line, so that lines which are cut off
at the end show, too. Who can write both files can write another history; who keeps a head elsewhere can prove that.
"""

import errno
import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, SecretStr, ValidationError

from config.credentials import fingerprint
from config.errors import AuditError
from config.settings import Settings

#: What the first line is chained to.
_NOTHING: Final = "0" * 64
#: Bytes that are looked through for the end of the last line but one.
_CHUNK: Final = 65_536

Outcome = Literal["done", "failed"]


class Record(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: From 0, without gaps.
    number: int
    at: AwareDatetime
    #: Who did it.
    by: str
    #: What was done, such as `credential.activate`.
    action: str
    #: Path of the project or account.
    scope: str
    #: What it was done with, such as `credentials/main`.
    subject: str
    #: What changed: names and values; of secrets their fingerprints.
    changes: dict[str, Any]
    outcome: Outcome
    #: Why it failed.
    error: str | None = None
    #: SHA-256 of the line before.
    previous: str

    def line(self) -> bytes:
        """The record as it is written and hashed, without a newline."""
        document = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest line: how far the log goes."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What came of checking a log."""

    #: Lines that were looked at.
    lines: int
    head: Head | None
    #: The first line that does not fit, counted from 1, and why; None when all fit.
    line: int | None = None
    problem: str | None = None
    #: What could not be checked.
    remark: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the log is whole, as far as that can be told."""
        return self.problem is None


class AuditLog:
    """One log in one local file, which several processes may write."""

    def __init__(self, path: str | Path, *, by: str) -> None:
        """`by` is who is recorded."""
        self.path = Path(path).expanduser()
        self._head_path = self.path.with_name(f"{self.path.name}.head")
        self._by = by

    @property
    def by(self) -> str:
        """Who is recorded."""
        return self._by

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The log of this process's settings."""
        return cls(audit_path(settings), by=settings.actor or _user())

    def check_writable(self) -> None:
        """See that a record could be written, before something is done that must be recorded.

        Raises:
            AuditError: it could not.
        """
        with self._locked():
            pass

    def append(
        self,
        *,
        at: datetime,
        action: str,
        scope: str,
        subject: str,
        changes: Mapping[str, Any],
        outcome: Outcome = "done",
        error: str | None = None,
    ) -> Record:
        """Write one record; it is on the disk when this returns.

        Raises:
            AuditError: it could not be written; the log is as it was.
        """
        said: dict[str, Any] = {"at": at, "by": _shown(self._by)}
        with self._locked() as file:
            tail, size = _tail(file)
            known = self._read_head()
            if tail is None:
                first: dict[str, Any] = {
                    "action": "genesis",
                    "scope": "/byom",
                    "subject": "audit log",
                    "changes": {},
                    "outcome": "done",
                }
                number = known.number + 1 if known else 0
                tail = Record(number=number, previous=_NOTHING, **said, **first)
                size = self._write(file, tail, at=size)
            # A head beyond the last line means that lines are gone; a gap in the numbers keeps that in sight.
            last = max(tail.number, known.number) if known else tail.number
            record = Record(
                number=last + 1,
                previous=_hash(tail.line()),
                action=action,
                scope=scope,
                subject=subject,
                changes=_shown(changes),
                outcome=outcome,
                error=error,
                **said,
            )
            self._write(file, record, at=size)
            self._write_head(Head(number=record.number, hash=_hash(record.line())))
        return record

    def records(self) -> Iterator[Record]:
        """All records, oldest first.

        Raises:
            AuditError: the log cannot be read, or a line is none of ours; `verify` says more.
        """
        for number, line in enumerate(self._lines(), start=1):
            record = _parse(line)
            if record is None:
                raise AuditError(f"line {number} of {self.path} is not a record; run: byom audit verify")
            yield record

    def verify(self, *, head: str | None = None) -> Audited:
        """Check the chain from its first line to its last.

        Args:
            head: hash of a line that is known from elsewhere to have been the newest once; it must be there.

        Raises:
            AuditError: the log cannot be read.
        """
        lines, previous, last, seen = 0, _NOTHING, None, set()
        for lines, line in enumerate(self._lines(), start=1):
            problem = _fault(line, expected=0 if last is None else last.number + 1, previous=previous)
            if problem:
                return Audited(lines=lines, head=last, line=lines, problem=problem)
            record = _parse(line)
            assert record is not None  # noqa: S101 - it has no fault
            previous = _hash(line)
            seen.add(previous)
            last = Head(number=record.number, hash=previous)
        return self._ended(lines, last, seen, head)

    def _ended(self, lines: int, last: Head | None, seen: set[str], expected: str | None) -> Audited:
        """Whether the log goes as far as it should."""
        known = self._read_head()
        problem = remark = None
        if known is None and last is not None:
            remark = f"{self._head_path} is not there, so lines that were cut off at the end do not show"
        elif known is not None and (last is None or known.number > last.number):
            problem = f"the log ends here, but went on to record {known.number}: its end was cut off"
        elif known is not None and known.hash not in seen:
            problem = f"{self._head_path} names a line that is not in the log: its end was replaced"
        if problem is None and expected is not None and expected not in seen:
            problem = f"no line has the hash {expected}: the log is not the one it was"
        return Audited(lines=lines, head=last, line=lines + 1 if problem else None, problem=problem, remark=remark)

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return
        except OSError as error:
            raise AuditError(f"cannot read the audit log {self.path}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, open for appending and for this process alone."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise AuditError(
                f"cannot write the audit log {self.path}: {error.strerror}; nothing is changed without a record. Mend "
                "that, or set BYOM_AUDIT_LOG"
            ) from error

    @staticmethod
    def _write(file: int, record: Record, *, at: int) -> int:
        """Write a record after what is there, or leave all as it was.

        Returns:
            The size of the file.
        """
        data = record.line() + b"\n"
        try:
            # Cuts off what a crash left of a line that nobody was told is written.
            os.ftruncate(file, at)
            written = os.pwrite(file, data, at)
            if written != len(data):
                raise OSError(errno.ENOSPC, "the disk is full")  # noqa: TRY301 - undone below
            os.fsync(file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, at)
            raise
        return at + len(data)

    def _read_head(self) -> Head | None:
        try:
            document = json.loads(self._head_path.read_text(encoding="utf-8"))
            return Head(number=int(document["number"]), hash=str(document["hash"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_head(self, head: Head) -> None:
        temporary = self._head_path.with_name(f"{self._head_path.name}.new")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(file, json.dumps({"number": head.number, "hash": head.hash}).encode())
            os.fsync(file)
        finally:
            os.close(file)
        temporary.replace(self._head_path)


def audit_path(settings: Settings) -> Path:
    """Where the audit log is kept."""
    if settings.audit_log:
        return Path(settings.audit_log).expanduser()
    scheme, _, path = settings.store_url.partition(":")
    folder = Path(path.removeprefix("//")).expanduser().parent if scheme == "file" else Path(".byom")
    return folder / "audit.jsonl"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What changed between two documents: name → `{"from", "to"}`, where null means that it is not set."""
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


def _shown(value: Any) -> Any:
    """A value as it may be written: secrets as fingerprints, and nothing but JSON.

    Raises:
        TypeError: it is of another kind.
    """
    match value:
        case SecretStr():
            return f"sha256:{fingerprint(value)}"
        case Mapping():
            return {str(key): _shown(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_shown(inner) for inner in value]
        case datetime():
            return value.isoformat()
        case str():
            # Arguments of a command line may hold bytes that are no text.
            return value.encode(errors="replace").decode()
        case None | bool() | int() | float():
            return value
    raise TypeError(f"the audit log takes no {type(value).__name__}")


def _tail(file: int) -> tuple[Record | None, int]:
    """The last whole record, and where it ends; what a crash left behind it does not count.

    Raises:
        AuditError: the last whole line is none of ours.
    """
    size = os.fstat(file).st_size
    end, data = 0, b""
    start = size
    while start > 0:
        start = max(0, start - _CHUNK)
        data = os.pread(file, size - start, start)
        end = data.rfind(b"\n")
        if end >= 0 and (start == 0 or data.rfind(b"\n", 0, end) >= 0):
            break
    if not data or end < 0:
        return None, 0
    line = data[data.rfind(b"\n", 0, end) + 1 : end + 1]
    record = _parse(line)
    if record is None:
        raise AuditError(
            "the last line of the audit log is not a record; run: byom audit verify, and move the log away"
        )
    return record, start + end + 1


def _parse(line: bytes) -> Record | None:
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _fault(line: bytes, *, expected: int, previous: str) -> str | None:
    """What is wrong with a line that should follow another, or None."""
    record = _parse(line)
    if not line.endswith(b"\n"):
        return "it is cut off in the middle"
    if record is None:
        return "it is not a record"
    if record.line() != line.removesuffix(b"\n"):
        return "it is not written as it was: somebody edited it"
    if record.number != expected:
        missing = record.number - expected
        return f"{missing} records before it are missing" if missing > 0 else "it is out of order or repeated"
    if record.previous != previous:
        return "it does not fit the line before it: one of the two was altered"
    return None


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # Containers run under numbers that have no name.
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
