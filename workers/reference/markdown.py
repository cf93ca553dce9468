"""The few pieces of Markdown that the printed pages are made of."""

import re
from collections.abc import Iterable, Sequence

#: The second line of every page; a test keeps it true.
GENERATED = "Generated from the code by `make docs`; a test keeps the two equal. Do not edit by hand."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its line end; bars within cells are escaped."""
    lines = (head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(value: object) -> str:
    """As code."""
    return f"`{value}`"


def anchor(heading: str) -> str:
    """What a heading is linked by."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
