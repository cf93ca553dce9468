"""docs/configuration.md against the code: its tables hold every field with its default, its file and commands work."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from config.connections import Connection, ProjectProfile, effective_chain
from config.declaration import read_file, write_file
from config.store import FileStore
from tests.unit.cli.conftest import Byom
from workers.cli.root import app

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
[FILE] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without the first two lines."""
    _, _, below = PAGE.partition(f"## {heading}\n")
    lines = [line for line in re.split(r"^## ", below, flags=re.MULTILINE)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def options(*path: str) -> set[str]:
    command: Any = typer.main.get_command(app)
    for word in path:
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


def default(model: type[BaseModel], field: str) -> str:
    info = model.model_fields[field]
    if info.default is PydanticUndefined:
        return "required"
    return "none" if info.default in (None, {}) else f"`{str(info.default).lower()}`"


@pytest.mark.parametrize(
    ("heading", "model", "command"),
    [
        ("Options of a connection", Connection, ("connection", "add")),
        ("Options of a project", ProjectProfile, ("project", "set")),
    ],
)
def test_a_table_has_every_field_with_its_option_and_its_default(
    heading: str, model: type[BaseModel], command: tuple[str, ...]
) -> None:
    fields = [field for field in model.model_fields if field != "name"]
    documented = {cells[0].strip("`"): cells[1:] for cells in rows(heading)}

    assert list(documented) == fields
    assert {field: cells[1] for field, cells in documented.items()} == {
        field: default(model, field) for field in fields
    }
    assert {cells[0].strip("`") for cells in documented.values()} <= options(*command)
    assert len({cells[0] for cells in documented.values()}) == len(fields)


def test_the_file_of_the_page_is_in_canonical_form() -> None:
    assert write_file(read_file(FILE, source="byom.yaml")) == FILE


def test_the_commands_of_the_page_configure_what_the_page_says(
    byom: Byom, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "a-key-from-the-environment")
    results = [byom(*shlex.split(line)[1:], *(["--no-verify"] if " add " in line else [])) for line in COMMANDS]

    primary, fallback = effective_chain(store, "acme")
    assert [result.exit_code for result in results] == [0] * len(COMMANDS)
    assert (primary.connection.tpm_capacity, primary.profile.weight) == (30_000, 3)
    assert (primary.origins["model"], fallback.connection.provider) == ("account", "gemini")


def test_the_file_of_the_page_can_be_applied(byom: Byom, store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "byom.yaml").write_text(FILE, encoding="utf-8")
    result = byom("config", "apply", "byom.yaml", "--force", "--no-verify")

    assert result.exit_code == 0, result.output
    assert byom("config", "export").stdout == FILE
