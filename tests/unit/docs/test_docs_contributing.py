"""CONTRIBUTING.md and docs/decisions.md against the tree: what they name is there, what they tell to run can be run."""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.contract import ProviderKind
from tests.pages import Command, commands, inline, paths

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: Run once by whoever runs these tests.
ACTIVATE = ". .venv/bin/activate"
#: Stands for the name of a kind of provider.
KIND = "KIND"


def section(heading: str) -> str:
    _, _, below = PAGE.partition(f"### {heading}\n")
    return below.partition("\n### ")[0]


def test_every_command_is_one_of_ours_or_of_pytest() -> None:
    lines = [*commands("CONTRIBUTING.md"), *inline("docs/decisions.md", "make", "byom", "pytest")]

    assert {command.program for command in lines} - {"make", "pytest", "byom"} == {"."}
    assert {command.line for command in lines if command.program == "."} == {ACTIVATE}


@pytest.mark.parametrize(
    "command",
    [command for command in commands("CONTRIBUTING.md") if command.program == "pytest"],
    ids=lambda command: command.line,
)
def test_every_test_that_is_named_exists(command: Command) -> None:
    words = command.words[1:]
    nodes = [word for word in words if word.startswith("tests/")]

    assert set(words) - set(nodes) <= {"-n", "0"}
    for node in nodes:
        path, _, name = node.partition("::")
        assert (ROOT / path).exists(), path
        if name:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert name in {
                found.name for found in tree.body if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)
            }


def test_the_map_has_every_folder_and_the_layers_are_those_that_are_kept() -> None:
    rows = dict(re.findall(r"^\| `([\w/]+)/` \| .*? \| (.*?) ?\|$", PAGE, re.MULTILINE))
    (layers,) = [
        contract["layers"] for contract in PROJECT["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"
    ]
    order = [layer.partition(" ")[0].removesuffix(".extract") for layer in layers]

    assert {*rows} >= {"tasks/contract", "config", "workers", "tasks", "tests/unit", "tests/integration", "benchmarks"}
    assert " → ".join(order) in PAGE
    for upper, lower in pairwise(order):
        assert f"`{lower}`" in rows[upper]


def test_the_version_of_python_is_the_one_that_is_required() -> None:
    assert f"python3 ({PROJECT['project']['requires-python'].removeprefix('>=')} or later)" in PAGE


def test_lint_runs_what_the_page_says() -> None:
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]

    assert all(tool in recipe for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports"))
    assert PROJECT["tool"]["mypy"]["strict"] is True
    assert PROJECT["tool"]["ruff"]["lint"]["select"] == ["ALL"]


def test_a_kind_of_provider_is_spoken_of_in_its_own_places_only() -> None:
    told = section("A kind of provider")
    named = {path.replace(KIND, kind.value) for path in paths(told) for kind in ProviderKind}
    homes = tuple(
        path.removesuffix(".py") for path in named if path.startswith(("config/kinds/", "workers/providers/"))
    )
    member = re.compile(rf"\bProviderKind\.(?:{'|'.join(kind.name for kind in ProviderKind)})\b")
    speaking = {
        str(path.relative_to(ROOT))
        for folder in ("config", "tasks", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if member.search(path.read_text(encoding="utf-8"))
    }

    assert len(homes) >= 2 * len(ProviderKind)
    assert {path for path in speaking if not path.startswith(homes)} == {
        "workers/cli/demo_scenes.py",
        "workers/embedded/simulator/wire/__init__.py",
    }
    assert speaking - {path for path in speaking if path.startswith(homes)} <= named


def test_every_decision_says_what_and_why_and_is_in_the_list() -> None:
    _, *records = re.split(r"^## ", DECISIONS, flags=re.MULTILINE)

    assert len(records) >= 10
    for record in records:
        title = record.partition("\n")[0]
        assert f"* [{title}](#" in DECISIONS
        assert "**Decided.**" in record, title
        assert "**Why.**" in record, title
        assert "**Not taken.**" in record, title
