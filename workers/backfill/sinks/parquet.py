"""Results as a folder of Parquet files, which readers take for one table.

A Parquet file cannot be appended to, so lines gather in a file of JSON Lines first (its name begins with `_`, which
readers of folders pass over), and become a part when there are enough. The position is the number of parts, and how
far the lines of the next one are written.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above

from workers.backfill.errors import SinkError
from workers.backfill.sinks.jsonl import JsonlSink

#: Lines of one part.
PART: Final = 10_000

_SCHEMA: Final = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("episode_ids", pa.list_(pa.string())),
        pa.field("job_id", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        # As JSON: its shape is the contract's, and grows with it.
        pa.field("result", pa.string()),
        pa.field("failure", pa.string()),
    ]
)


class ParquetSink:
    """A folder that is named like a file."""

    def __init__(self, path: Path, *, part: int = PART) -> None:
        self._path = path
        self._part = part
        self._parts = 0
        self._lines = 0
        self._tail = JsonlSink(path)

    def open(self, position: str) -> None:
        """Begin, or go on from a position that was noted; what stands beyond it is cut off."""
        self.close()
        if self._path.is_file() or (not position and self._path.is_dir() and any(self._path.iterdir())):
            raise SinkError(f"{self._path} is there already; choose another --out, or remove it")
        parts, _, offset = (position or "0 ").partition(" ")
        self._parts = int(parts)
        for number in range(self._parts):
            if not self._file(number).exists():
                raise SinkError(f"{self._file(number)} is gone, and with it what was written; put it back to go on")
        if offset not in {"", "0"} and not self._tail_of(self._parts).exists() and self._file(self._parts).exists():
            # All was done and the last part made, but that was not noted.
            self._parts, offset = self._parts + 1, ""
        # Made of lines that were not noted as done, or not yet noted as made.
        for later in self._path.glob("part-*.parquet"):
            if later.name >= self._file(self._parts).name:
                later.unlink()
        self._remove_tails(keep=self._parts)
        self._open_tail("" if offset in {"", "0"} else offset)
        with self._tail_path.open("rb") as tail:
            self._lines = sum(1 for _ in tail)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write lines."""
        rows = list(rows)
        self._tail.append(rows)
        self._lines += len(rows)

    def sync(self) -> str:
        """Make what was written durable; the position up to which it is."""
        offset = self._tail.sync()
        if self._lines >= self._part:
            self._turn_over()
            offset = "0"
        return f"{self._parts} {offset}"

    def finish(self) -> str:
        """Make a part of the lines that are left; an empty table is a part without lines."""
        self._tail.sync()
        if self._lines or not self._parts:
            self._turn_over()
        self._tail.close()
        self._remove_tails(keep=-1)
        return f"{self._parts} 0"

    def close(self) -> None:
        """Let go of it."""
        self._tail.close()

    def _turn_over(self) -> None:
        """Make a part of the lines that gathered. They stay until the next part is begun, should this not be noted."""
        target = self._file(self._parts)
        temporary = target.with_suffix(".making")
        with self._tail_path.open("rb") as tail:
            rows = [_row(json.loads(line)) for line in tail]
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.rename(target)
        except OSError as error:
            raise SinkError(f"cannot write {target}: {error.strerror or type(error).__name__}") from error
        self._remove_tails(keep=self._parts)
        self._parts += 1
        self._open_tail("")

    def _open_tail(self, offset: str) -> None:
        self._tail.close()
        try:
            # Not its parents: where these are not there, storage that drivers share is not there either.
            self._path.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror or type(error).__name__}") from error
        self._tail_path = self._tail_of(self._parts)
        if not offset:
            self._tail_path.unlink(missing_ok=True)
        self._tail = JsonlSink(self._tail_path)
        self._tail.open(offset)
        self._lines = 0

    def _remove_tails(self, *, keep: int) -> None:
        for tail in self._path.glob("_lines-*.jsonl"):
            if tail != self._tail_of(keep):
                tail.unlink()

    def _tail_of(self, number: int) -> Path:
        return self._path / f"_lines-{number:05}.jsonl"

    def _file(self, number: int) -> Path:
        return self._path / f"part-{number:05}.parquet"


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **line,
        **{name: json.dumps(line[name], ensure_ascii=False) for name in ("result", "failure") if name in line},
    }
