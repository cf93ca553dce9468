"""Pages that are printed from the code are what would be printed today, and hold all that they are about."""

import re
import runpy
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer.main
from pydantic import BaseModel, Field

from tasks.contract import SCHEMAS
from tasks.contract.events import DATA, EventKind
from workers.cli.root import app
from workers.monitoring.metrics.names import POOL, WORKER
from workers.reference import commands, events, metrics, pages, schemas
from workers.reference.comments import meanings, told
from workers.reference.kinds import takes
from workers.reference.markdown import GENERATED
from workers.reference.models import members, sections
from workers.reference.pages import PAGES, ROOT

FOREWORDS = ("Generated from the code", "Do not edit by hand")


@pytest.mark.parametrize(("page", "render"), PAGES.items(), ids=list(PAGES))
def test_a_page_is_what_would_be_printed_today(page: str, render: Callable[[], str]) -> None:
    assert render() == (ROOT / page).read_text(encoding="utf-8"), "run: make docs"


def test_every_page_that_says_that_it_is_printed_is_printed() -> None:
    saying = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs").rglob("*.md")
        if all(words in path.read_text(encoding="utf-8").partition("\n## ")[0] for words in FOREWORDS)
    }

    assert saying == set(PAGES)


def test_the_command_that_the_pages_name_prints_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = re.findall(r"`make (\w+)`", GENERATED)
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition(f"\n{target}: install")[2].splitlines()[1]
    python, dash, module = recipe.split()
    assert (python, dash) == ("$(BIN)/python", "-m")
    monkeypatch.setattr(pages, "ROOT", tmp_path)

    runpy.run_module(module, run_name="__main__")

    for page in PAGES:
        assert (tmp_path / page).read_text(encoding="utf-8") == (ROOT / page).read_text(encoding="utf-8"), page


def test_every_command_and_every_option_is_on_its_page() -> None:
    page = commands.render()
    found = dict(commands.walk(typer.main.get_command(app)))

    assert len(found) > 50
    for name, command in found.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for param in command.params:
            shown = param.opts if param.param_type_name == "option" else [param.metavar or param.name.upper()]
            assert param.name == "help" or all(one in section for one in shown), (name, param.name)
            assert not param.required or "required" in section


def test_markup_and_types_of_the_parser_are_not_on_the_page_of_commands() -> None:
    page = commands.render()

    assert re.findall(r"\[/?(?:bold|cyan)\]|<\w+>|&#|x[<>]=", page) == []


def test_defaults_and_bounds_of_options_are_told() -> None:
    page = commands.render()

    assert "| `--port N` | Port of Valkey; 0 takes a free one. (default 6379, 0 to 65535) |" in page
    assert "| `-p, --project TEXT` | The project. (required) |" in page


def test_every_metric_is_on_its_page_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|", metrics.render(), re.MULTILINE)

    assert rows == [metric.name for metric in (*POOL, *WORKER)]


def test_every_published_model_is_on_the_page_of_schemas_with_all_that_it_is_made_of() -> None:
    parts = {name for model in SCHEMAS.values() for name in _models_within(model)}

    assert parts <= schemas.PLACES.keys()


def _models_within(model: type[BaseModel]) -> set[str]:
    definitions = model.model_json_schema().get("$defs", {})
    return {model.__name__, *(name for name, one in definitions.items() if one.get("type") == "object")}


def test_every_kind_of_event_is_on_its_page_with_its_data() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .*? \| \[(\w+)\]\(#\w+\) \|$", events.render(), re.MULTILINE)

    assert rows == [(kind.value, DATA[kind].__name__) for kind in EventKind]


def test_a_comment_is_that_of_the_field_below_it_only() -> None:
    lines = ["#: First,", "#: in two lines.", "one: int = 1", "two: int = 2", "", "#: Alone.", "", "three: int = 3"]
    source = "\n".join(["class Some:", *(f"    {line}" for line in lines)])

    assert list(told(source)) == [("one", "First, in two lines.")]


class Size(Enum):
    """For the tests below."""

    #: Not much.
    SMALL = "s"
    LARGE = "l"


class Wordless(BaseModel):
    """For the tests below."""

    size: int


def test_what_has_no_words_of_its_own_cannot_be_printed() -> None:
    assert meanings(Size) == {"SMALL": "Not much."}
    with pytest.raises(KeyError, match="size"):
        list(sections([Wordless], {}, mode="validation"))
    with pytest.raises(KeyError, match="LARGE"):
        list(members(Size))


class Values(BaseModel):
    """Kinds of values."""

    secret_free: str
    short: Annotated[str, Field(max_length=2_000)]
    maybe: int | None
    some: Annotated[list[bool], Field(min_length=1, max_length=3)]
    few: Annotated[list[str], Field(max_length=3)]
    by_name: dict[str, float]
    anything: dict[str, object]
    choice: Literal["a", "b"]
    bounded: Annotated[int, Field(ge=1, le=10_000)]
    above: Annotated[float, Field(gt=0, le=9)]


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("secret_free", "text"),
        ("short", "text, at most 2,000 characters"),
        ("maybe", "whole number"),
        ("some", "list of `true` or `false`, 1 to 3"),
        ("few", "list of text, at most 3"),
        ("by_name", "object of number"),
        ("anything", "object"),
        ("choice", "`a` or `b`"),
        ("bounded", "whole number, 1 to 10,000"),
        ("above", "number, above 0, at most 9"),
    ],
)
def test_a_schema_is_told_in_words(field: str, says: str) -> None:
    assert takes(Values.model_json_schema()["properties"][field]) == says
