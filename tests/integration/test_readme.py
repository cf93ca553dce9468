"""Every command of the README runs, as it stands there."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.support.pool import ROOT, wait_until
from workers.embedded.simulator import SimulatorThread
from workers.embedded.valkey import _free_port

pytestmark = pytest.mark.integration

README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Commands that are not run here, and who runs them.
ELSEWHERE = {
    "make demo": "test_the_demo_…; the target is that command",
    "make test": "is running now",
    "make install && . .venv/bin/activate": "whoever runs these tests has done so",
    "byom up": "runs for the whole test below",
    "cp .env.example .env": "tests/unit/deployment reads both files",
    "docker compose up": "needs a Docker engine; tests/unit/deployment checks the file",
}


def commands() -> list[str]:
    """All shell commands, those in tables included; comments and continuation lines resolved."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\s+# .*", "", line).strip() for line in lines]
    inline = re.findall(r"`((?:byom|celery|make|docker|cp) [^`]*)`", README)
    return list(dict.fromkeys(command for command in [*found, *inline] if command))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A machine with `byom up` running, somebody's key, and nothing configured."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    valkey, flower = _free_port(), _free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "BYOM_BROKER_URL": f"redis://127.0.0.1:{valkey}/0",
        "OPENAI_API_KEY": "sk-readme",
        "NEW_KEY": "sk-readme-rotated",
    }
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(
            ["byom", "up", "--port", str(valkey), "--flower-port", str(flower)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: "Ctrl-C stops" in (tmp_path / "up.log").read_text() or up.poll() is not None, seconds=60)
            assert up.poll() is None, (tmp_path / "up.log").read_text()
            yield environment
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(timeout=60) == 0, (tmp_path / "up.log").read_text()


def run(command: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def at_the_simulator(command: str, simulator: SimulatorThread) -> str:
    """The command with the vendor played by the simulator: saving a connection makes a real call."""
    if not command.startswith("byom connection add"):
        return command
    vendor = "compatible" if "openai_compatible" in command else "openai"
    # The last of two counts.
    return f"{command} --base-url {simulator.base_urls[vendor]}"


@pytest.mark.timeout(400)
def test_every_command_of_the_readme_runs(environment: dict[str, str], tmp_path: Path) -> None:
    ran: dict[str, str] = {}
    with SimulatorThread() as simulator:
        for command in commands():
            if command in ELSEWHERE:
                continue
            words = command.replace("byom result ID", f"byom result {_an_id(ran)}")
            ran[command] = run(at_the_simulator(words, simulator), environment, tmp_path)

    assert len(ran) >= 7
    (enqueued,) = (output for command, output in ran.items() if command.startswith("byom enqueue"))
    lines = [json.loads(line) for line in enqueued.splitlines()]
    source = (ROOT / "examples/conversations.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(source)
    assert {line["status"] for line in lines} == {"succeeded"}


def _an_id(ran: dict[str, str]) -> str:
    for output in ran.values():
        if output.startswith("{"):
            return str(json.loads(output.splitlines()[0]).get("job_id", "none"))
    return "none"


def test_the_demo_of_the_readme_ends_well_in_under_a_minute(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo: install.*\n\t\$\(BIN\)/byom demo$", makefile, re.MULTILINE)

    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "demo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("Simulated", "Memories of acme", "Usage", "fallback", "(equal)", "Flower: http://127.0.0.1:"):
        assert part in done.stdout + done.stderr, part


def test_the_files_and_folders_that_the_readme_names_exist() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    named = re.findall(r"`((?:config|tasks|workers|docs|examples)/[^` ]*)`", README)

    for path in (one for one in [*linked, *named] if not one.startswith("http")):
        assert (ROOT / path).exists(), path
