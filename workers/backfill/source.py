"""The lines of an input of any size, in constant memory: JSON Lines, gzip or not, Parquet, or stdin.

What a file is, is told by its first bytes, never by its name.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from workers.backfill.errors import SourceError

#: Bytes of one line at most: a job as large as the contract allows, with every character escaped.
LINE_BYTES: Final = 16 * 2**20
#: The name that means stdin.
STDIN: Final = "-"

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
#: Bytes that are read at once.
_WINDOW: Final = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the input."""

    #: From 1; blank lines count.
    number: int
    #: One JSON document; of Parquet the row as JSON.
    text: bytes
    #: Why there is no text to be read; such a line is bad.
    problem: str | None = None


def read_lines(path: str, *, after: int = 0) -> Iterator[Line]:
    """The lines of an input that are not blank, in order.

    Args:
        path: of a file, or `-` for stdin.
        after: lines to skip, from the beginning; they are not parsed.

    Raises:
        SourceError: the input cannot be read, or breaks off; the lines before that came first.
    """
    with _opened(path) as handle:
        try:
            head = handle.read(len(_PARQUET))
            if head == _PARQUET:
                yield from _parquet(path, after=after)
            else:
                yield from _text_lines(_plain(head, handle), after=after)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(_broken(path, error)) from error


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    with ExitStack() as exits:
        try:
            # Left open at the end: it is not ours.
            yield sys.stdin.buffer if path == STDIN else exits.enter_context(Path(path).open("rb"))
        except OSError as error:
            raise SourceError(f"cannot read {_name(path)}: {error.strerror or type(error).__name__}") from error


class _Rest(io.RawIOBase):
    """A stream whose first bytes were read already: a pipe cannot be wound back."""

    def __init__(self, head: bytes, handle: IO[bytes]) -> None:
        self._head = head
        self._handle = handle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # what BufferedReader gives
        data, self._head = (self._head, b"") if self._head else (self._handle.read(len(buffer)), b"")
        buffer[: len(data)] = data
        return len(data)


def _plain(head: bytes, handle: IO[bytes]) -> "io.BufferedReader[Any]":
    """The bytes of the lines, decompressed where they are compressed."""
    rest = io.BufferedReader(_Rest(head, handle), buffer_size=_WINDOW)
    if not head.startswith(_GZIP):
        return rest
    return io.BufferedReader(gzip.GzipFile(fileobj=rest), buffer_size=_WINDOW)


def _text_lines(handle: "io.BufferedReader[Any]", *, after: int) -> Iterator[Line]:
    number = _skip(handle, after)
    while text := handle.readline(LINE_BYTES + 1):
        number += 1
        if len(text) > LINE_BYTES:
            _end_line(handle, text)
            yield Line(number=number, text=b"", problem=_too_long(None))
        elif not text.isspace():
            yield Line(number=number, text=text)


def _skip(handle: "io.BufferedReader[Any]", lines: int) -> int:
    """Go past so many lines, or to the end; how many there were to skip."""
    left = lines
    while left and (window := handle.peek()):
        if (ends := window.count(b"\n")) < left:
            left -= ends
            handle.read(len(window))
            continue
        end = -1
        for _ in range(left):
            end = window.index(b"\n", end + 1)
        handle.read(end + 1)
        left = 0
    return lines


def _end_line(handle: "io.BufferedReader[Any]", text: bytes) -> None:
    """Go to the end of a line without keeping it."""
    while text and not text.endswith(b"\n"):
        text = handle.readline(_WINDOW)


def _parquet(path: str, *, after: int) -> Iterator[Line]:
    if path == STDIN:
        raise SourceError(
            "stdin holds a Parquet file, which can only be read from its end; give it as a file instead of '-'"
        )
    try:
        from workers.backfill.parquet import rows  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SourceError(
            f"{_name(path)} is a Parquet file, and reading it needs the extra 'parquet' ({error}); install it with: "
            "pip install 'byom-workers[parquet]', or write the file as JSON Lines"
        ) from None
    for number, text in enumerate(rows(path, after=after), start=after + 1):
        if isinstance(text, str):
            yield Line(number=number, text=b"", problem=text)
        elif len(text) > LINE_BYTES:
            yield Line(number=number, text=b"", problem=_too_long(len(text)))
        else:
            yield Line(number=number, text=text)


def _too_long(size: int | None) -> str:
    told = "is" if size is None else f"has {size:,} bytes and is"
    return f"{told} longer than a line may be ({LINE_BYTES:,} bytes); split it into several jobs"


def _broken(path: str, error: Exception) -> str:
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return f"{_name(path)} cannot be read to its end: {what.rstrip('.')}. Write or copy the file again"


def _name(path: str) -> str:
    return "stdin" if path == STDIN else path
