"""CONTRIBUTING.md and docs/decisions.md against the tree: what they name is there, what they tell to run can be run."""

import ast
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tests.chaos.__main__ as chaos
from tasks.contract import ProviderKind
from workers.cli.root import app

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: Commands that stand in blocks, and those that stand in the text.
BLOCKS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
INLINE = re.findall(r"`((?:make|byom|pytest) [^`]*)`", PAGE + DECISIONS)
COMMANDS = list(dict.fromkeys([*BLOCKS, *INLINE]))

#: Run once by whoever runs these tests.
ACTIVATE = ". .venv/bin/activate"
#: Stands for the name of a kind of provider.
KIND = "KIND"


def of(program: str) -> list[str]:
    return [command for command in COMMANDS if shlex.split(command)[0] == program]


def section(heading: str) -> str:
    _, _, below = PAGE.partition(f"### {heading}\n")
    return below.partition("\n### ")[0]


def paths(text: str) -> set[str]:
    """Files and folders that a text names."""
    return set(re.findall(r"`((?:tests|tasks|workers|config|docs|benchmarks|examples)/[\w./-]*)`", text))


def test_every_command_is_of_a_kind_that_is_tested_here() -> None:
    assert {shlex.split(command)[0] for command in COMMANDS} - {"make", "pytest", "byom"} == {"."}
    assert [command for command in COMMANDS if command.startswith(". ")] == [ACTIVATE]


@pytest.mark.parametrize("command", of("make"))
def test_every_target_is_in_the_makefile_and_tells_what_it_does(command: str) -> None:
    targets = [word for word in shlex.split(command)[1:] if "=" not in word]

    assert targets
    for target in targets:
        assert re.search(rf"^{target}:.*## \w", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("command", [command for command in of("make") if "CHAOS=" in command])
def test_options_of_chaos_are_taken(command: str) -> None:
    (given,) = [word.removeprefix("CHAOS=") for word in shlex.split(command) if word.startswith("CHAOS=")]
    parser = typer.Typer()
    parser.command()(chaos.main)

    context = typer.main.get_command(parser).make_context("chaos", shlex.split(given))

    assert "python -m tests.chaos $(CHAOS)" in MAKEFILE
    assert context.args == []


@pytest.mark.parametrize("command", of("pytest"))
def test_every_test_that_is_named_exists(command: str) -> None:
    words = shlex.split(command)[1:]
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


@pytest.mark.parametrize("command", of("byom"))
def test_every_command_of_ours_is_taken_as_it_stands(command: str) -> None:
    _, name, *words = shlex.split(command)
    group: Any = typer.main.get_command(app)
    found = group.commands[name]
    if words and hasattr(found, "commands"):
        found, words = found.commands[words[0]], words[1:]

    assert {word for word in words if word.startswith("-")} <= {
        option for param in found.params for option in param.opts
    }
    # Some are named in the text without what they need, so nothing is asked to be complete. The words are used up.
    assert found.make_context(name, words, resilient_parsing=True).args == []


@pytest.mark.parametrize("page", [PAGE, DECISIONS], ids=["contributing", "decisions"])
def test_what_is_named_is_there(page: str) -> None:
    named = {path.replace(KIND, ProviderKind.BEDROCK.value) for path in paths(page)}

    assert len(named) > 5
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


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


def test_every_place_that_speaks_of_a_kind_of_provider_is_told() -> None:
    told = section("A kind of provider")
    named = {path.replace(KIND, kind.value) for path in paths(told) for kind in ProviderKind}
    member = re.compile(rf"\bProviderKind\.(?:{'|'.join(kind.name for kind in ProviderKind)})\b")
    speaking = {
        str(path.relative_to(ROOT))
        for folder in ("config", "tasks", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if member.search(path.read_text(encoding="utf-8"))
    }
    folders = tuple(path for path in named if path.endswith("/"))

    assert len(speaking) > 10
    assert [path for path in sorted(speaking - named) if not path.startswith(folders)] == []


def test_every_decision_says_what_and_why_and_is_in_the_list() -> None:
    _, *records = re.split(r"^## ", DECISIONS, flags=re.MULTILINE)

    assert len(records) >= 10
    for record in records:
        title = record.partition("\n")[0]
        assert f"* [{title}](#" in DECISIONS
        assert "**Decided.**" in record, title
        assert "**Why.**" in record, title
        assert "**Not taken.**" in record, title
