"""Results as JSON Lines. Its position is the number of bytes that are durable."""

import fcntl
import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from workers.backfill.errors import SinkError
from workers.backfill.lines import as_text


class JsonlSink:
    """One file; with `compress`, of gzip members one after another, which readers take for one stream."""

    def __init__(self, path: Path, *, compress: bool = False) -> None:
        self._path = path
        self._pack: Callable[[bytes], bytes] = _gzip if compress else bytes
        self._file: IO[bytes] | None = None
        self._unwritten: list[bytes] = []

    def open(self, position: str) -> None:
        """Begin, or go on from a position that was noted; what stands beyond it is cut off."""
        self.close()
        offset = int(position or 0)
        with self._told():
            if not position and self._path.exists() and self._path.stat().st_size:
                raise SinkError(f"{self._path} is there already; choose another --out, or remove it")
            if offset and not self._path.exists():
                raise SinkError(f"{self._path} is gone, and with it what was written; put it back to go on")
            file = self._path.open("ab")
        try:
            self._settle(file, offset)
        except BaseException:
            file.close()
            raise
        self._file = file

    def _settle(self, file: IO[bytes], offset: int) -> None:
        with self._told():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SinkError(f"{self._path} is being written by another process; let that one end first") from None
            size = file.seek(0, os.SEEK_END)
            if size < offset:
                raise SinkError(
                    f"{self._path} has {size:,} bytes, and {offset:,} were written: somebody cut it off. Put it back "
                    "to go on"
                )
            file.truncate(offset)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write lines."""
        self._unwritten.append(as_text(rows))

    def sync(self) -> str:
        """Make what was written durable; the position up to which it is."""
        assert self._file is not None  # noqa: S101 - opened before anything is written
        text = b"".join(self._unwritten)
        with self._told():
            if text:
                self._file.write(self._pack(text))
                self._file.flush()
                os.fsync(self._file.fileno())
            self._unwritten.clear()
            return str(self._file.tell())

    def finish(self) -> str:
        """Nothing is to be completed."""
        return self.sync()

    def close(self) -> None:
        """Let go of it."""
        self._unwritten.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(
                f"cannot write {self._path}: {error.strerror or type(error).__name__}. What is noted as done is "
                "there; mend it to go on"
            ) from error


def _gzip(text: bytes) -> bytes:
    # Without the time, so that the same results give the same bytes.
    return gzip.compress(text, mtime=0)
