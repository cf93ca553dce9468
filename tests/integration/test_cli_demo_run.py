"""`byom demo`, as a user runs it first."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import ProviderKind

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

BYOM = [sys.executable, "-c", "from workers.cli import main; main()"]


def environ(temporary: Path) -> dict[str, str]:
    """Settings from outside must not lead the demo anywhere else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BYOM_")}
    return {
        **clean,
        "TMPDIR": str(temporary),
        "BYOM_BROKER_URL": "redis://127.0.0.1:1/0",
        "BYOM_RESULT_URL": "redis://127.0.0.1:1/1",
        "BYOM_STORE_URL": f"file:{temporary}/never-used.json",
    }


def test_the_demo_shows_fallbacks_memories_and_books_that_agree(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [*BYOM, "demo", "--jobs", "42", "--json"],
        cwd=tmp_path,
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    seconds = time.monotonic() - began

    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert (report["scene"], report["jobs"], report["failed"]) == ("simulator", 42, 0)
    assert report["fallbacks"] == 3, "all jobs that acme had during the outage"
    assert len(report["memories"]) == 7
    assert all(report["memories"].values())
    assert {row["provider"] for row in report["usage"]} == set(ProviderKind)
    assert report["tokens"]["ledger"] == report["tokens"]["provider"] > 0
    outage = [row for row in report["usage"] if row["project"] == "acme" and row["role"] == "primary"]
    assert [row["failed"] > 0 for row in outage] == [True]
    assert seconds < 60
    assert list(tmp_path.iterdir()) == [], "it cleans up behind itself"


def test_ctrl_c_ends_the_demo_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*BYOM, "demo"],
        cwd=tmp_path,
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if line.startswith("Flower:"):
            break
    os.killpg(demo.pid, signal.SIGINT)
    _, rest = demo.communicate(timeout=60)

    assert demo.returncode == 130, rest
    assert list(tmp_path.iterdir()) == []
    assert Path(tempfile.gettempdir()) != tmp_path
