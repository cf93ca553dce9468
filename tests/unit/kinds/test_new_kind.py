"""A kind of provider that this version does not know, added to a copy of the tree where CONTRIBUTING says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
#: Its files → where they go.
FILES = {
    "toy_kind.py": "config/kinds/toy.py",
    "toy_provider.py": "workers/providers/toy.py",
    "toy_diagnoses.toml": "workers/verification/diagnoses/kinds/toy.toml",
    "toy_wire.py": "workers/embedded/simulator/wire/toy.py",
}
#: What is added to files that are there: file, a line of it, and what stands behind that line then.
LINES = (
    ("tasks/contract/names.py", '    OPENAI_COMPATIBLE = "openai_compatible"', '    TOY = "toy"'),
    (
        "workers/embedded/simulator/wire/__init__.py",
        "from workers.embedded.simulator.wire.openai_responses import OpenAIResponses",
        "from workers.embedded.simulator.wire.toy import ToyWire",
    ),
    (
        "workers/embedded/simulator/wire/__init__.py",
        "MOUNTS: tuple[Mount, ...] = (",
        '    _mount(ProviderKind.TOY, "/toy", ToyWire()),',
    ),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree that has the kind."""
    tree = tmp_path_factory.mktemp("tree")
    for package in ("config", "tasks", "workers"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, place in FILES.items():
        shutil.copy(HERE / name, tree / place)
    for place, before, line in LINES:
        text = (tree / place).read_text(encoding="utf-8")
        assert text.count(f"{before}\n") == 1
        (tree / place).write_text(text.replace(f"{before}\n", f"{before}\n{line}\n"), encoding="utf-8")
    with (tree / "config/catalogue.toml").open("a", encoding="utf-8") as catalogue:
        catalogue.write((HERE / "toy_model.toml").read_text(encoding="utf-8"))
    return tree


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BYOM_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tree: Path) -> dict[str, Any]:
    ended = run(tree, str(HERE / "toy_job.py"))
    assert ended.returncode == 0, ended.stderr[-2_000:]
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def test_its_connections_are_verified_and_its_list_of_models_is_read(told: dict[str, Any]) -> None:
    checks = {check["name"]: check["status"] for check in told["verified"]["checks"]}

    assert told["verified"]["ok"], checks
    # The list has no day on which the model ends.
    assert set(checks.values()) <= {"ok", "warning"}


def test_a_job_goes_through_it_and_is_paid_for_to_the_token(told: dict[str, Any]) -> None:
    result = told["result"]

    assert (result["status"], result["provenance"][0]["provider"]) == ("succeeded", "toy")
    assert result["episodes"][0]["facts"]
    assert told["tokens"] == told["billed"] > 0


def test_its_limits_and_errors_are_read_as_it_tells_them(told: dict[str, Any]) -> None:
    assert told["limit"] == 90_000
    assert (told["fault"], told["mend"]) == ("quota_exhausted", "win some")


def test_what_is_declared_of_it_holds_everywhere(told: dict[str, Any]) -> None:
    assert told["metrics"] == "toyland"
    assert "is a key of Toyland" in told["elsewhere"]
    assert "opens the box" in told["useless"]


@pytest.mark.parametrize(
    ("place", "line"),
    [("config/kinds/toy.py", "    prices=None,\n"), ("workers/providers/toy.py", "    report=None,\n")],
)
def test_what_is_forgotten_is_no_default_but_an_error(tree: Path, place: str, line: str) -> None:
    text = (tree / place).read_text(encoding="utf-8")
    assert line in text
    (tree / place).write_text(text.replace(line, ""), encoding="utf-8")
    try:
        ended = run(tree, "-c", "from workers.providers.registry import build_providers; build_providers()")
    finally:
        (tree / place).write_text(text, encoding="utf-8")

    assert ended.returncode != 0
    assert f"'{line.strip().partition('=')[0]}'" in ended.stderr
