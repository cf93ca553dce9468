"""What the commands print: results on stdout, progress and remarks on stderr, so that pipes stay clean."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

#: Both look up `sys.stdout` and `sys.stderr` when they print, so that redirection works.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


def print_json(document: Any, *, indent: int | None = None) -> None:
    """Write one JSON document and a newline to stdout; without `indent` it is one line, fit for JSON Lines."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=indent) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A table of plain text; columns named in `right` hold numbers."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell.replace("[", r"\[") for cell in row))
    return made


def progress(*, quiet: bool, extra: str | None = None) -> Progress:
    """A progress bar on stderr, gone when it is done.

    Args:
        quiet: show nothing, for `--json`; without a terminal nothing moves either.
        extra: name of a task field that is shown after the counts.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    columns.append(TextColumn(f"{{task.fields[{extra}]}}") if extra else TimeRemainingColumn())
    return Progress(*columns, console=err, disable=quiet, transient=True)
