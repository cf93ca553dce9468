"""`byom health`, for probes and people."""

import json
import time
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Byom
from workers.health import Heart, Part, Terms
from workers.health.file import write_pulse


def test_the_command_says_what_is_wrong_and_ends_as_it_was_asked(byom: Byom, tmp_path: Path) -> None:
    path = tmp_path / "health"
    heart = Heart(Terms(patience=30, drain=60))
    write_pulse(path, heart.pulse())

    live, ready = byom("health", "--file", str(path)), byom("health", "--ready", "--json", "--file", str(path))

    assert live.exit_code == 0
    assert "live, not ready (starting)" in live.stdout
    assert "→ wait" in live.stdout
    assert ready.exit_code == 1
    assert json.loads(ready.stdout)["problems"][0]["what"] == "it has not taken any jobs yet"
    # Its process stands, whatever it wrote last.
    stopped = Heart(Terms(patience=30, drain=60), now=lambda: time.monotonic() - 40)
    stopped.beat(Part.WATCH)
    write_pulse(path, stopped.pulse())
    stuck = byom("health", "--file", str(path))
    assert stuck.exit_code == 1
    assert "stuck, not ready" in stuck.stdout


def test_the_command_needs_a_worker_that_writes_a_file(
    byom: Byom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = byom("health")
    monkeypatch.setenv("BYOM_HEALTH_FILE", str(tmp_path / "nothing"))
    nobody = byom("health")

    assert (nameless.exit_code, nobody.exit_code) == (2, 3)
    assert "BYOM_HEALTH_FILE" in nameless.stderr
    assert "no worker writes" in nobody.stderr
