"""Help and documentation say what the commands do, with examples that work."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.unit.cli.conftest import Byom
from workers.cli.errors import ExitCode
from workers.cli.root import app

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        if getattr(command, "invoke_without_command", True):
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def shown_examples(command: Any) -> list[str]:
    text = re.sub(r"\[/?[a-z]*\]", "", command.epilog or "").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r" {2,}\S.*\bbyom ", line) or " byom " in line]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_of_itself(path: tuple[str, ...]) -> None:
    assert any(f"byom {' '.join(path)}" in line for line in shown_examples(COMMANDS[path]))


@pytest.mark.parametrize(
    "line", sorted({line for command in COMMANDS.values() for line in shown_examples(command)}), ids=str
)
def test_every_example_is_a_command_line_that_exists(line: str) -> None:
    _, _, called = line.rpartition("byom ")
    words = shlex.split(re.split(r"[|>]", called)[0])
    path = next(tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in COMMANDS)

    context = COMMANDS[path].make_context(None, words[len(path) :], resilient_parsing=True)

    assert context.args == []
    # Parsing as above takes options that do not exist.
    params = COMMANDS[path].params
    taken = {"--help", *(option for param in params for option in (*param.opts, *param.secondary_opts))}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= taken


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_is_shown(byom: Byom, path: tuple[str, ...]) -> None:
    result = byom(*path, "--help")

    assert result.exit_code == ExitCode.OK
    assert "Examples" in result.stdout


def test_the_exit_codes_stand_in_the_help_and_in_the_documentation(byom: Byom) -> None:
    help_text = byom("--help").stdout
    documented = DOCS.read_text(encoding="utf-8")

    for code in ExitCode:
        assert re.search(rf"^ +{code.value} +\w", help_text, re.MULTILINE), code
        assert re.search(rf"^\| {code.value} \|", documented, re.MULTILINE), code


def test_the_documentation_names_no_option_that_does_not_exist() -> None:
    options = {option for command in COMMANDS.values() for param in command.params for option in param.opts}
    options |= {option for param in typer.main.get_command(app).params for option in param.opts} | {"--help"}
    foreign = {"--basic-auth"}

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCS.read_text(encoding="utf-8"))) - options - foreign == set()


def test_the_version_is_printed(byom: Byom) -> None:
    assert re.fullmatch(r"byom \d+\.\d+\.\d+\n", byom("--version").stdout)
