"""Every link of the documentation that stays within the repository leads somewhere."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from workers.reference.pages import PAGES as PRINTED

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))

#: `[words](target)`, pictures included; `[words]: target` at the beginning of a line.
LINK = re.compile(r"\]\(\s*([^()\s]+)(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)


def prose(text: str) -> str:
    """A page without its blocks and pieces of code, in which brackets are no links."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


def links(text: str) -> Iterator[str]:
    """Targets within the repository."""
    for match in LINK.finditer(prose(text)):
        target = match[1] or match[2]
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


def anchor(heading: str) -> str:
    """What a heading is linked by."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words).strip().lower().replace(" ", "-")


def anchors(text: str) -> set[str]:
    """All of a page; the second of the same name has a number."""
    without_blocks = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#* *$", without_blocks, re.MULTILINE):
        name = anchor(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@cache
def anchors_of(page: Path) -> set[str]:
    return anchors(page.read_text(encoding="utf-8"))


def broken(page: Path, text: str) -> list[str]:
    """Links that lead nowhere, each with the reason."""
    found = []
    for target in links(text):
        path, _, name = target.partition("#")
        file = page if not path else (page.parent / unquote(path)).resolve()
        if not file.is_relative_to(ROOT):
            found.append(f"{target}: outside of the repository")
        elif not file.exists():
            found.append(f"{target}: no such file")
        elif name and (file.suffix != ".md" or name not in (anchors(text) if file == page else anchors_of(file))):
            found.append(f"{target}: no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_the_pages_have_links_at_all() -> None:
    assert sum(len(list(links(page.read_text(encoding="utf-8")))) for page in PAGES) > 100


def linked(page: Path) -> set[Path]:
    """Pages that one leads to."""
    paths = {target.partition("#")[0] for target in links(page.read_text(encoding="utf-8"))} - {""}
    return {file for path in paths if (file := (page.parent / unquote(path)).resolve()).suffix == ".md"}


def test_every_page_is_two_clicks_from_the_readme_at_most() -> None:
    readme = ROOT / "README.md"
    first = linked(readme)
    second = {page for one in first for page in linked(one)}

    assert set(PAGES) - {readme} - first - second == set()


def test_the_index_has_every_reader_and_every_reference() -> None:
    index = ROOT / "docs" / "README.md"
    headings = re.findall(r"^## (.*)$", index.read_text(encoding="utf-8"), re.MULTILINE)

    assert index in linked(ROOT / "README.md")
    assert len([heading for heading in headings if heading.startswith("I ")]) == 5
    assert {ROOT / page for page in PRINTED} <= linked(index)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[a](nowhere.md)", "no such file"),
        ("[a](docs/lanes.md#no-such-thing)", "no such heading"),
        ("[a](#one-1)\n# One", "no such heading"),
        ("[a](LICENSE#one)", "no such heading"),
        ("![a](docs/images/none.png)", "no such file"),
        ("[a]: docs/none.md", "no such file"),
        ('[a](docs/none.md "title")', "no such file"),
        ("[a](../elsewhere.md)", "outside of the repository"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, reason: str) -> None:
    (found,) = broken(ROOT / "README.md", text)

    assert found.endswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/lanes.md#back-pressure)",
        "[a](#two-words-and-code)\n## Two words, and `code`",
        "[a](#one-1)\n# One\n# One",
        "`[a](nowhere.md)`",
        "```\n[a](nowhere.md)\n```",
        "[a](https://example.com/nowhere)",
        "[a](docs/)",
    ],
)
def test_other_links_are_left_alone(text: str) -> None:
    assert broken(ROOT / "README.md", text) == []
