"""Lines are read in constant memory from whatever a file turns out to be, and numbered as an editor would."""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above
import pytest

from workers.backfill import source
from workers.backfill.errors import SourceError
from workers.backfill.source import Line, read_lines


def numbered(lines: Iterator[Line]) -> list[tuple[int, bytes]]:
    return [(line.number, line.text.strip()) for line in lines]


def plain(folder: Path, data: bytes) -> str:
    (folder / "input").write_bytes(data)
    return str(folder / "input")


def zipped(folder: Path, data: bytes) -> str:
    # As `cat a.gz b.gz` writes it: two members.
    middle = len(data) // 2
    return plain(folder, gzip.compress(data[:middle]) + gzip.compress(data[middle:]))


@pytest.fixture(params=[plain, zipped])
def written(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_lines_are_numbered_from_one_and_blank_lines_count(tmp_path: Path, written: Any) -> None:
    path = written(tmp_path, b'{"a":1}\n\n  \r\n{"b":2}\r\n{"c":3}')

    assert numbered(read_lines(path)) == [(1, b'{"a":1}'), (4, b'{"b":2}'), (5, b'{"c":3}')]


@pytest.mark.parametrize("after", [0, 1, 2, 499, 500, 5_000, 9_999, 10_000, 10_001, 20_000])
def test_skipping_gives_what_reading_all_would_have_given_from_there_on(
    tmp_path: Path, written: Any, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_WINDOW", 1_000)
    data = b"".join(b"\n" if number % 7 == 0 else b'{"n":%d}\n' % number for number in range(1, 10_001))
    path = written(tmp_path, data)

    assert list(read_lines(path, after=after)) == [line for line in read_lines(path) if line.number > after]


def test_an_empty_file_has_no_lines(tmp_path: Path, written: Any) -> None:
    assert list(read_lines(plain(tmp_path, b""))) == []
    assert list(read_lines(written(tmp_path, b"\n"), after=1)) == []


def test_a_line_beyond_the_limit_is_a_problem_and_the_next_one_is_read(
    tmp_path: Path, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LINE_BYTES", 100)
    monkeypatch.setattr(source, "_WINDOW", 30)
    path = written(tmp_path, b"a" * 99 + b"\n" + b"b" * 100 + b"\n" + b"c" * 1_000 + b"\nd\n")

    lines = list(read_lines(path))

    assert [(line.number, line.text[:1], line.problem is None) for line in lines] == [
        (1, b"a", True),
        (2, b"", False),
        (3, b"", False),
        (4, b"d", True),
    ]
    assert "100 bytes" in str(lines[1].problem)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """200 MB that compress to almost nothing, read within a limit that would not hold them."""
    path = tmp_path / "large"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write((b'{"id":"e","content":"' + b"x" * 50_000 + b'"}\n') * 20)
    script = """
        import resource, sys
        from workers.backfill.source import read_lines
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = sum(1 for _ in read_lines(sys.argv[1]))
        print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(map(str.strip, script.splitlines())), path],
        capture_output=True,
        text=True,
        check=True,
    )

    count, kilobytes = map(int, done.stdout.split())
    assert count == 4_000
    assert kilobytes < 20_000


@pytest.mark.parametrize("packed", [True, False])
def test_stdin_is_read_too_and_left_open(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:  # noqa: FBT001
    data = b'{"a":1}\n{"b":2}\n'
    stdin = io.BytesIO(gzip.compress(data) if packed else data)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))

    assert numbered(read_lines("-", after=1)) == [(2, b'{"b":2}')]
    assert not stdin.closed


def test_a_pipe_that_gives_a_byte_at_a_time_is_recognised_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.BytesIO):
        def read1(self, _size: int | None = -1) -> bytes:
            return super().read1(1)

        def readinto(self, buffer: Any) -> int:
            return super().readinto(memoryview(buffer)[:1])

    stdin = io.BufferedReader(Slow(gzip.compress(b'{"a":1}\n{"b":2}\n')), buffer_size=64)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))

    assert numbered(read_lines("-")) == [(1, b'{"a":1}'), (2, b'{"b":2}')]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*absent: No such file"):
        list(read_lines(str(tmp_path / "absent")))
    with pytest.raises(SourceError, match="Is a directory"):
        list(read_lines(str(tmp_path)))


@pytest.mark.parametrize("spoilt", [lambda data: data[:-20], lambda data: data[:-6] + b"abcdef"])
def test_a_broken_gzip_gives_its_lines_and_then_an_error(tmp_path: Path, spoilt: Any) -> None:
    data = b"".join(b'{"n":"%d"}\n' % number for number in range(100_000))
    path = plain(tmp_path, spoilt(gzip.compress(data)))
    seen: list[Line] = []

    with pytest.raises(SourceError, match="cannot be read to its end"):
        seen.extend(read_lines(path))

    assert len(seen) > 50_000


def parquet(folder: Path, table: Any, **options: Any) -> str:
    path = str(folder / "rows.any")
    pq.write_table(table, path, **options)
    return path


def documents(path: str, *, after: int = 0) -> list[Any]:
    return [(line.number, json.loads(line.text)) for line in read_lines(path, after=after)]


def test_columns_of_parquet_are_fields_and_nulls_are_absent(tmp_path: Path) -> None:
    when = datetime(2026, 5, 4, 10, tzinfo=UTC)
    table = pa.table(
        {
            "id": ["e1", "e2"],
            "content": ["Ada moved.", "Bo stayed."],
            "speaker": [None, "Bo"],
            "reference_time": pa.array([when, None], pa.timestamp("ns", tz="UTC")),
            "labels": pa.array([[("team", "a")], None], pa.map_(pa.string(), pa.string())),
            "__index_level_0__": [7, 8],
        }
    )

    assert documents(parquet(tmp_path, table)) == [
        (
            1,
            {
                "id": "e1",
                "content": "Ada moved.",
                "reference_time": "2026-05-04T10:00:00+00:00",
                "labels": {"team": "a"},
            },
        ),
        (2, {"id": "e2", "content": "Bo stayed.", "speaker": "Bo"}),
    ]


def test_nested_episodes_of_parquet_are_read_and_nanoseconds_are_cut_off(tmp_path: Path) -> None:
    kind = pa.list_(
        pa.struct(
            [
                ("id", pa.string()),
                ("content", pa.string()),
                ("reference_time", pa.timestamp("ns")),
                ("role", pa.string()),
            ]
        )
    )
    episode = {"id": "e1", "content": "x", "reference_time": 1_777_888_999_000_000_001, "role": None}
    table = pa.table({"episodes": pa.array([[episode]], kind)})

    assert documents(parquet(tmp_path, table)) == [
        (1, {"episodes": [{"id": "e1", "content": "x", "reference_time": "2026-05-04T10:03:19"}]})
    ]


@pytest.mark.parametrize("after", [0, 1, 99, 100, 101, 250, 999, 1_000, 2_000])
def test_skipping_rows_gives_the_rest(tmp_path: Path, after: int) -> None:
    path = parquet(tmp_path, pa.table({"n": list(range(1, 1_001))}), row_group_size=100)

    assert documents(path, after=after) == [(number, {"n": number}) for number in range(after + 1, 1_001)]


def test_a_cell_that_json_has_no_word_for_spoils_its_row_alone(tmp_path: Path) -> None:
    path = parquet(tmp_path, pa.table({"id": ["e1", "e2"], "content": pa.array([b"\xff", None], pa.binary())}))

    bad, good = read_lines(path)

    assert (bad.number, bad.text, good.number) == (1, b"", 2)
    assert "bytes" in str(bad.problem)


def test_a_broken_parquet_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        list(read_lines(plain(tmp_path, b"PAR1 and nothing else")))


def test_parquet_from_stdin_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"PAR1...")))

    with pytest.raises(SourceError, match="give it as a file"):
        list(read_lines("-"))


def test_without_the_extra_parquet_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "workers.backfill.parquet", None)

    with pytest.raises(SourceError, match=r"byom-workers\[parquet\]"):
        list(read_lines(plain(tmp_path, b"PAR1...")))
