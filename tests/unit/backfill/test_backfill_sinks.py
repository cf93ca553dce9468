"""One suite for all sinks: what was noted stays, what was not is cut off, and nothing is there twice."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types
import pytest

from workers.backfill.errors import SinkError
from workers.backfill.sinks import JsonlSink, NoSink, Sink, sink_for
from workers.backfill.sinks.parquet import ParquetSink


@dataclass
class Subject:
    path: Path
    make: Callable[[], Sink]

    def lines(self) -> list[int]:
        """Numbers of the lines that a reader finds."""
        return [row["line"] for row in self.rows()]

    def rows(self) -> list[dict[str, Any]]:
        if self.path.suffix == ".parquet":
            parts = sorted(self.path.glob("part-*.parquet"))
            found = [row for part in parts for row in pq.read_table(part).to_pylist()]
            tails = sorted(self.path.glob("_lines-*.jsonl"))
            return found + ([] if not tails else [json.loads(line) for line in tails[-1].read_bytes().splitlines()])
        data = self.path.read_bytes()
        return [
            json.loads(line) for line in (gzip.decompress(data) if self.path.suffix == ".gz" else data).splitlines()
        ]


@pytest.fixture(params=["jsonl", "jsonl.gz", "parquet"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    path = tmp_path / f"out.{request.param}"
    if request.param == "parquet":
        return Subject(path=path, make=lambda: ParquetSink(path, part=3))
    return Subject(path=path, make=lambda: sink_for(str(path)))


def row(number: int) -> dict[str, Any]:
    return {
        "line": number,
        "id": f"{number:032x}",
        "episode_ids": [f"e{number}"],
        "job_id": f"job-{number}",
        "status": "succeeded",
        "result": {"episodes": [{"episode_id": f"e{number}", "facts": [{"fact": "Zoë 🦔"}]}]},
    }


def write(sink: Sink, *numbers: int) -> str:
    sink.append(row(number) for number in numbers)
    return sink.sync()


def test_what_is_written_can_be_read(subject: Subject) -> None:
    sink = subject.make()
    sink.open("")
    write(sink, 1, 2)
    write(sink, 3, 4)
    sink.finish()
    sink.close()

    assert subject.lines() == [1, 2, 3, 4]


def test_what_was_not_noted_is_cut_off_by_the_next_driver(subject: Subject) -> None:
    sink = subject.make()
    sink.open("")
    noted = write(sink, 1, 2)
    write(sink, 3, 4, 5)
    write(sink, 6)
    sink.close()

    again = subject.make()
    again.open(noted)
    assert subject.lines() == [1, 2]
    write(again, 4, 3)
    again.finish()
    again.close()

    assert subject.lines() == [1, 2, 4, 3]


def test_a_crash_before_anything_was_noted_begins_anew(subject: Subject) -> None:
    sink = subject.make()
    sink.open("")
    first = sink.sync()
    write(sink, 1, 2, 3, 4)
    sink.close()

    again = subject.make()
    again.open(first)
    write(again, 1)
    again.finish()
    again.close()

    assert subject.lines() == [1]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7])
def test_a_crash_after_the_last_part_loses_and_repeats_nothing(subject: Subject, count: int) -> None:
    sink = subject.make()
    sink.open("")
    noted = ""
    for number in range(1, count + 1):
        noted = write(sink, number)
    sink.finish()
    sink.close()

    again = subject.make()
    again.open(noted)
    again.finish()
    again.close()

    assert subject.lines() == list(range(1, count + 1))


def test_nothing_is_written_over(subject: Subject) -> None:
    sink = subject.make()
    sink.open("")
    write(sink, 1)
    sink.close()

    with pytest.raises(SinkError, match="is there already"):
        subject.make().open("")
    assert subject.lines() == [1]


def test_two_processes_do_not_write_at_once(subject: Subject) -> None:
    sink = subject.make()
    sink.open("")
    noted = write(sink, 1)

    with pytest.raises(SinkError, match="by another process"):
        subject.make().open(noted)
    sink.close()
    following = subject.make()
    following.open(noted)
    following.close()


def test_a_sink_that_was_cut_off_or_removed_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(path)
    sink.open("")
    noted = write(sink, 1)
    sink.close()

    path.write_bytes(b"")
    with pytest.raises(SinkError, match="somebody cut it off"):
        JsonlSink(path).open(noted)
    path.unlink()
    with pytest.raises(SinkError, match="is gone"):
        JsonlSink(path).open(noted)


def test_a_part_that_was_removed_is_missed(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "out.parquet", part=2)
    sink.open("")
    noted = write(sink, 1, 2)
    sink.close()
    (tmp_path / "out.parquet" / "part-00000.parquet").unlink()

    with pytest.raises(SinkError, match=r"part-00000\.parquet is gone"):
        ParquetSink(tmp_path / "out.parquet", part=2).open(noted)


def test_parquet_has_columns_that_tables_are_made_of(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "out.parquet", part=2)
    sink.open("")
    sink.append([row(1), {"line": 2, "id": None, "episode_ids": [], "job_id": "j", "status": "invalid", "failure": {}}])
    sink.sync()
    sink.finish()
    sink.close()

    found = pq.read_table(tmp_path / "out.parquet").to_pylist()

    assert found[0] == {**row(1), "result": json.dumps(row(1)["result"], ensure_ascii=False), "failure": None}
    assert found[1]["failure"] == "{}"
    assert sorted(path.name for path in (tmp_path / "out.parquet").iterdir()) == ["part-00000.parquet"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_folder_that_is_not_there_is_not_made_up(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*: No such file or directory"):
        sink_for(str(tmp_path / "not mounted" / name)).open("")


def test_the_name_says_what_is_written(tmp_path: Path) -> None:
    assert isinstance(sink_for(None), NoSink)
    with pytest.raises(SinkError, match=r"\.jsonl, \.jsonl\.gz, \.parquet"):
        sink_for(str(tmp_path / "out.csv"))
