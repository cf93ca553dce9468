"""The command of the benchmarks as a process of its own, on rows that are cheap."""

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
    put = command("render", str(file), "--into", str(page))

    assert ran.returncode == 0, ran.stderr
    results = Results.model_validate_json(file.read_bytes())
    assert [row.name for row in results.rows] == ["enqueue", "tokens"]
    assert {len(line.values) for row in results.rows for line in row.lines} == {1}
    assert results.machine.broker.startswith("Valkey ")
    assert "python -m benchmarks run --only=enqueue --repeats=1 --size=enqueue.jobs=100" in ran.stdout
    assert put.returncode == 0, put.stderr
    assert "| instruction tokens per episode against Graphiti's 3,600 | 1/4.7 |" in page.read_text(encoding="utf-8")


def test_what_a_job_costs_is_measured_on_a_real_worker(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"

    ran = command("scale", "--quick", "--only", "costs", "--json", str(file))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    [row] = Results.model_validate_json(file.read_bytes()).rows
    found = {line.key: line.values[0] for line in row.lines}
    # Of so few jobs buffers of connections are more than what stays.
    assert min(amount for key, amount in found.items() if key != "kept") > 0
    # Enqueueing is a part of the whole, and so is the rest.
    assert found["put_commands"] + found["taken_commands"] == pytest.approx(found["commands"])
