"""Where an export writes: a file that is never left with a line twice, or a pipe."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from workers.ledger.errors import ExportError
from workers.ledger.export import COLUMNS, Format, Selection, State, csv_line
from workers.ledger.stream import Cursor

#: Stands for stdout.
PIPE = "-"


class Output:
    """The target of one export, and the memory of it."""

    def __init__(
        self,
        out: str,
        *,
        pipe: TextIO,
        state: Path | None,
        written_as: Format,
        selection: Selection,
    ) -> None:
        """Open a target where an earlier run left it.

        Args:
            out: path, or `-` for the pipe.
            pipe: stdout.
            state: file that remembers; None forgets.
            written_as: how records are written.
            selection: which records.

        Raises:
            ExportError: the file is there already and nothing says how far it goes, or the state is of another export.
        """
        self._state = state
        self._now = State(
            out=out if out == PIPE else str(Path(out).absolute()),
            format=written_as,
            project=selection.project,
            size=None,
        )
        before = None if state is None else self._remembered(state)
        self.cursor = selection.start if before is None else Cursor(last=before.last, place=before.place)
        self._is_file = out != PIPE
        self._file = self._open(Path(out), before) if self._is_file else pipe
        # Before the first line: a run that is killed now has begun an export that can go on.
        self.keep(self.cursor)
        at_start = self._size() == 0 if self._is_file else before is None
        if written_as is Format.CSV and at_start:
            self.write(csv_line(COLUMNS))

    def _remembered(self, path: Path) -> State | None:
        before = State.read(path)
        if before is None:
            return None
        for name in ("out", "format", "project"):
            was, now = getattr(before, name), getattr(self._now, name)
            if was != now:
                raise ExportError(
                    f"{path} remembers an export with {name} {was or 'none'}, and this one has {now or 'none'}: "
                    "each export needs a state file of its own"
                )
        return before

    def _open(self, path: Path, before: State | None) -> TextIO:
        if before is None and path.exists() and path.stat().st_size:
            raise ExportError(
                f"{path} is there already. Name another file, or remove this one; with --state an export goes on "
                "where it ended"
            )
        try:
            file = path.open("a", encoding="utf-8", newline="")
            # What is beyond was written by a run that could not remember it. A shorter file was rotated away.
            if before is not None and before.size is not None and path.stat().st_size > before.size:
                file.truncate(before.size)
        except OSError as error:
            raise ExportError(f"cannot write to {path}: {error.strerror}") from None
        return file

    def write(self, text: str) -> None:
        """Write lines."""
        self._file.write(text)

    def keep(self, cursor: Cursor) -> None:
        """Remember that all up to here is written.

        Raises:
            ExportError: the disk is full, or the like.
        """
        try:
            self._file.flush()
            if self._state is None:
                return
            if self._is_file:
                os.fsync(self._file.fileno())
            size = self._size() if self._is_file else None
            self._now = self._now.model_copy(update={"last": cursor.last, "place": cursor.place, "size": size})
            self._now.write(self._state)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ExportError(f"cannot write the export or its state: {error.strerror}") from None

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._is_file:
            self._file.close()
