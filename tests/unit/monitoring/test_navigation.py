"""What is taken for granted of Flower: these fail when a new version of it has another shape."""

import re
from pathlib import Path

import pytest
from flower.urls import settings as flower_settings  # type: ignore[import-untyped]  # has no types

from workers.monitoring.navigation import ENTRIES, with_entries

FLOWER = Path(flower_settings["template_path"])
STYLES = (Path(flower_settings["static_path"]) / "css" / "flower.css").read_text(encoding="utf-8")
OURS = Path(__file__).parents[3] / "workers" / "monitoring"
TEMPLATES = sorted((OURS / "templates").glob("*.html"))


def test_our_entries_stand_at_the_end_of_flowers_own_list() -> None:
    source = (FLOWER / "navbar.html").read_text(encoding="utf-8")
    extended = with_entries(source, ENTRIES)

    assert extended is not None
    first_list = extended[: extended.index("</ul>")]
    assert re.findall(r"reverse_url\('(\w+)'\)", first_list)[1:] == [
        "workers", "tasks", "broker", "usage", "providers", "lanes",
    ]  # fmt: skip
    # Nothing else was changed.
    assert re.sub(r'<li class="nav-item"><a class="nav-link.*?</li>', "", extended) == source


@pytest.mark.parametrize("source", ["", "<nav></nav>", "<ul><li>Workers</li></ul>", "reverse_url('workers')"])
def test_a_bar_of_another_shape_is_left_alone(source: str) -> None:
    assert with_entries(source, ENTRIES) is None


def test_flowers_pages_have_the_blocks_that_ours_fill() -> None:
    base = (FLOWER / "base.html").read_text(encoding="utf-8")

    for block in ("title", "navbar", "container"):
        assert f"{{% block {block} %}}" in base


def test_no_template_of_flower_has_a_name_of_ours() -> None:
    assert not {path.name for path in FLOWER.iterdir()} & {path.name for path in TEMPLATES}


def test_the_style_sheet_has_the_classes_and_variables_that_ours_use() -> None:
    used = "".join(path.read_text(encoding="utf-8") for path in [*TEMPLATES, OURS / "static" / "byom.css"])
    variables = set(re.findall(r"var\((--flower-[a-z-]+)\)", used))
    classes = {"page-section", "page-header", "page-eyebrow", "page-description", "metric-grid", "metric-card",
               "metric-card-active", "metric-card-success", "metric-card-danger", "metric-label", "metric-value",
               "broker-table", "empty-table-message"}  # fmt: skip

    assert variables
    assert {name for name in variables if f"{name}:" not in STYLES} == set()
    assert {name for name in classes if name not in used} == set()
    assert {name for name in classes if f".{name}" not in STYLES} == set()


def test_every_class_of_ours_has_its_style() -> None:
    used = set()
    for path in TEMPLATES:
        for value in re.findall(r'class="([^"]*)"', path.read_text(encoding="utf-8")):
            used |= {name for name in re.findall(r"byom-[a-z0-9-]*[a-z0-9]", value) if "{{" not in value}
    styles = (OURS / "static" / "byom.css").read_text(encoding="utf-8")

    assert {name for name in used if f".{name}" not in styles} == set()


@pytest.mark.parametrize("path", [*TEMPLATES, OURS / "static" / "byom.css"], ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere_and_no_script_or_style_stands_in_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"https?://|//[a-z]+\.|@import|<script|<style|style=|onclick", text) == []
