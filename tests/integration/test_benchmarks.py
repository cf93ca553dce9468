"""The command of the benchmarks, on rows that are cheap."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ground import ROOT
from benchmarks.results import Results

pytestmark = pytest.mark.integration


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_rows_are_measured_kept_and_shown_again(tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text("<!-- table: run --><!-- end of table: run -->", encoding="utf-8")

    ran = command("run", "--quick", "--only", "enqueue", "--only", "tokens", "--json", str(file))
    shown = command("render", str(file))
    put = command("render", str(file), "--into", str(page))

    assert ran.returncode == 0, ran.stderr
    results = Results.model_validate_json(file.read_bytes())
    assert [row.name for row in results.rows] == ["enqueue", "tokens"]
    assert {len(line.values) for row in results.rows for line in row.lines} == {1}
    assert results.machine.broker.startswith("Valkey ")
    assert "python -m benchmarks run --only=enqueue --repeats=1 --size=enqueue.jobs=100" in ran.stdout
    assert (shown.returncode, shown.stdout) == (0, ran.stdout)
    assert put.returncode == 0, put.stderr
    assert "| instruction tokens per episode against Graphiti's 3,600 | 1/4.7 |" in page.read_text(encoding="utf-8")


def test_a_row_that_cannot_be_measured_ends_with_one(tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    # A hundred episodes are too many for one prompt.
    ran = command("run", "--only", "tokens", "--size", "tokens.packed=100", "--json", str(file))

    assert ran.returncode == 1
    assert "tokens could not be measured: " in ran.stdout
    assert json.loads(file.read_text())["rows"][0]["failures"]


def test_a_wrong_command_ends_with_two() -> None:
    asked = [command("run", "--only", "nonsense"), command("run", "--only", "tokens", "--size", "tokens.jobs=1")]

    assert [ended.returncode for ended in asked] == [2, 2]
    assert "no such row: nonsense; there are cpu-single, " in asked[0].stderr
    assert "tokens has no size called jobs; it has packed" in asked[1].stderr


def test_the_rows_are_listed() -> None:
    listed = command("run", "--list")

    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ("cpu-single", "ledger", "jobs=10000", "≥ 97.0 %"))
