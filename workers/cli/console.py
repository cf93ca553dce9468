"""What the commands print: results on stdout, progress and remarks on stderr, so that pipes stay clean."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

#: Columns where there is no terminal: files and pipes are not to get folded tables.
_WIDE = 200

#: Both look up `sys.stdout` and `sys.stderr` when they print, so that redirection works.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _WIDE)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


def one_line(text: object) -> str:
    """Text from a command line as a message may show it: what cannot be printed would break the line."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def counted(number: int, word: str) -> str:
    """Such as `1 fact` and `2 facts`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def print_json(document: Any, *, indent: int | None = None) -> None:
    """Write one JSON document and a newline to stdout; without `indent` it is one line, fit for JSON Lines."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=indent) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A table of plain text; columns named in `right` hold numbers."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        number = column in right
        made.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def progress(*, quiet: bool, extra: str | None = None) -> Progress:
    """A progress bar on stderr, gone when it is done.

    Args:
        quiet: show nothing, for `--json`; without a terminal nothing moves either.
        extra: name of a task field that is shown after the counts.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    columns.append(TextColumn(f"{{task.fields[{extra}]}}") if extra else TimeRemainingColumn())
    # What is printed meanwhile goes above the bar where both are on one terminal, and past it into a file or pipe.
    hidden = quiet or not err.is_terminal
    return Progress(*columns, console=err, disable=hidden, transient=True, redirect_stdout=sys.stdout.isatty())
