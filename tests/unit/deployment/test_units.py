"""The systemd units in docs/deployment."""

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from config.settings import Settings
from tests.unit.deployment.compose_file import ROOT

UNITS = sorted((ROOT / "docs" / "deployment" / "systemd").glob("*.service"))
EVERY_UNIT = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def read(unit: Path) -> RawConfigParser:
    parsed = RawConfigParser(strict=True, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd have capitals
    parsed.read_string(unit.read_text(encoding="utf-8"))
    return parsed


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@EVERY_UNIT
def test_systemd_knows_every_setting(unit: Path, tmp_path: Path) -> None:
    # The one thing that is not here is the program.
    text = unit.read_text(encoding="utf-8").replace("/opt/byom/bin/byom", "/bin/true")
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text, encoding="utf-8")

    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if unit.name.partition("@")[0] in line] == []


@EVERY_UNIT
def test_a_unit_runs_our_command_as_its_own_user_without_rights(unit: Path) -> None:
    service = read(unit)["Service"]

    assert service["ExecStart"].startswith("/opt/byom/bin/byom ")
    assert (service["User"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("byom", "yes", "")
    assert service["ProtectSystem"] == "strict"


def test_a_worker_is_killed_only_after_it_has_handed_its_jobs_back() -> None:
    (unit,) = (unit for unit in UNITS if "worker" in unit.name)

    assert int(read(unit)["Service"]["TimeoutStopSec"]) > Settings.model_fields["shutdown_timeout"].default
