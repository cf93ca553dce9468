"""`python -m benchmarks`: measure, and show what was measured."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import sizing
from benchmarks.families import DESIGN, SCALE
from benchmarks.ground import broker_version
from benchmarks.render import below_table, bound, markdown, put, table
from benchmarks.results import Machine, Results, RowResult
from benchmarks.rows import Row
from benchmarks.runner import commit, measure_all

#: Exit codes: a row could not be measured; the command is wrong. What is not reached is a finding, and ends with 0.
_FAILED, _WRONG = 1, 2

_out, _err = Console(width=150), Console(stderr=True, width=150)
app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode="rich")

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ROW", help="Measure these rows; may be given several times.", show_default=False),
]
Repeats = Annotated[
    int | None, typer.Option(min=1, help="How often each row is measured.", show_default="as --list says")
]
SizeOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--size", metavar="ROW.NAME=NUMBER", help="Another size than --list says; may be repeated.", show_default=False
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Small sizes, one repeat: shows that all of it works, no more.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Keep the results here.", show_default=False)
]
Listed = Annotated[bool, typer.Option("--list", help="Say what rows there are, and measure nothing.")]


@app.command()
def run(
    *,
    only: Only = None,
    repeats: Repeats = None,
    size: SizeOptions = None,
    quick: Quick = False,
    json: JsonFile = None,
    listed: Listed = False,
) -> None:
    """Measure the rows that have something to reach.

    Ends with 0 if all could be measured, whether or not it reached what it is to; with 1 if a row could not be
    measured, which says why; with 2 if the command is wrong.

    Examples:
        python -m benchmarks run --json results.json

        python -m benchmarks run --only enqueue --only tokens --repeats 5

        python -m benchmarks run --only ledger --size ledger.jobs=2000

        python -m benchmarks run --quick
    """
    _go(DESIGN, only=only, repeats=repeats, size=size, quick=quick, json=json, listed=listed)


@app.command()
def scale(
    *,
    only: Only = None,
    repeats: Repeats = None,
    size: SizeOptions = None,
    quick: Quick = False,
    json: JsonFile = None,
    listed: Listed = False,
) -> None:
    """Measure what jobs cost, and how that grows.

    Examples:
        python -m benchmarks scale --json scale.json

        python -m benchmarks scale --only backlog --size backlog.jobs=1000000 --repeats 1
    """
    _go(SCALE, only=only, repeats=repeats, size=size, quick=quick, json=json, listed=listed)


@app.command()
def render(
    file: Annotated[Path, typer.Argument(help="Results that were kept with --json.", show_default=False)],
    *,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as the docs have it.")] = False,
    goals: Annotated[
        bool, typer.Option("--goals", help="With --markdown: only what has something to reach, and no commands.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Put the Markdown into the marked place of a page.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(help="Which of the marked places.")] = "run",
) -> None:
    """Make the table again from results that were kept.

    Examples:
        python -m benchmarks render results.json

        python -m benchmarks render results.json --markdown --goals

        python -m benchmarks render results.json --into docs/benchmarks.md

        python -m benchmarks render scale.json --into docs/benchmarks.md --name scale
    """
    results = _kept(file, by="run")
    if into is not None:
        _put(into, name, markdown(results))
    elif as_markdown:
        print(markdown(results, goals=goals), end="")
    else:
        _show(results)


@app.command()
def size(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Results of scale, kept with --json; of a row in several the last counts.", metavar="FILE..."
        ),
    ],
    *,
    into: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Put it into the marked place of a page.", show_default=False),
    ] = None,
) -> None:
    """Say what deployments of several sizes need, from what `scale` measured; in Markdown.

    Examples:
        python -m benchmarks size scale.json

        python -m benchmarks size older.json newer.json --into docs/sizing.md
    """
    results = [_kept(file, by="scale") for file in files]
    try:
        text = sizing.markdown(results)
    except ValueError as error:
        _wrong(str(error))
    if into is not None:
        _put(into, "sizing", text)
    else:
        print(text, end="")


def _kept(file: Path, *, by: str) -> Results:
    """Results that a command has kept in a file."""
    again = f"`python -m benchmarks {by} --json FILE` measures, and keeps what it finds in FILE"
    try:
        return Results.model_validate_json(file.read_bytes())
    except OSError as error:
        _wrong(f"cannot read {file}: {error.strerror}; {again}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        _wrong(f"{file} holds no results of this version ({where}: {first['msg']}); {again}")


def _put(page: Path, name: str, text: str) -> None:
    """Put a table into its place of a page."""
    try:
        page.write_text(put(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")
    except OSError as error:
        _wrong(f"cannot put the table into {page}: {error.strerror}; --into takes a page that is there")
    except UnicodeDecodeError:
        _wrong(f"cannot put the table into {page}: it is no text in UTF-8; --into takes a page of Markdown")
    except ValueError as error:
        _wrong(f"{page}: {error}")


def _go(
    table_of: Mapping[str, Row],
    *,
    only: Sequence[str] | None,
    repeats: int | None,
    size: Sequence[str] | None,
    quick: bool,
    json: Path | None,
    listed: bool,
) -> None:
    rows = _chosen(table_of, only or [])
    if listed:
        _out.print(_list(rows))
        return
    wanted = _sizes(size or [], rows)
    found = []
    for row in rows:
        times = repeats or (1 if quick else row.repeats)
        sizes = row.sizes(quick=quick, wanted=wanted.get(row.name))
        command = _command(row, sizes, table="scale" if table_of is SCALE else "run", repeats=times)
        found.append(RowResult.begun(row, sizes, repeats=times, command=command))
    results = Results.begun(found, machine=Machine.this(broker_version()), commit=commit(), quick=quick)

    def keep(so_far: Results) -> None:
        if json is not None:
            json.write_text(so_far.model_dump_json(indent=1) + "\n", encoding="utf-8")

    if json is not None:
        _see_writable(json)
    measure_all(rows, results, told=lambda line: _err.print(f"[dim]{escape(line)}[/]", highlight=False), keep=keep)
    keep(results)
    _show(results)
    raise typer.Exit(_FAILED if results.failed else 0)


def _see_writable(file: Path) -> None:
    """See that results can be kept, before anything is measured, which takes long."""
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        _wrong(f"cannot write {file}: {error.strerror}; --json takes a file in a directory that is there")


def _chosen(table_of: Mapping[str, Row], only: Sequence[str]) -> list[Row]:
    if unknown := [name for name in only if name not in table_of]:
        _wrong(f"no such row: {', '.join(unknown)}; there are {', '.join(table_of)}")
    return [row for name, row in table_of.items() if not only or name in only]


def _sizes(options: Sequence[str], rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Row → name → amount."""
    known, wanted = {row.name: row for row in rows}, dict[str, dict[str, int]]()
    for option in options:
        place, separator, amount = option.partition("=")
        row, dot, name = place.partition(".")
        if not (separator and dot and amount.isdecimal()):
            _wrong(f"--size {option}: write ROW.NAME=NUMBER, such as ledger.jobs=2000")
        if row not in known:
            _wrong(f"--size {option}: row {row} is not measured; those that are: {', '.join(known)}")
        try:
            known[row].sizes(wanted={name: int(amount)})
        except ValueError as error:
            _wrong(f"--size {option}: {error}")
        wanted.setdefault(row, {})[name] = int(amount)
    return wanted


def _command(row: Row, sizes: Mapping[str, int], *, table: str, repeats: int) -> str:
    """What measures one row as it is measured now."""
    others = [f"--size={row.name}.{name}={amount}" for name, amount in sizes.items() if amount != row.full[name]]
    return shlex.join(["python", "-m", "benchmarks", table, f"--only={row.name}", f"--repeats={repeats}", *others])


def _list(rows: Sequence[Row]) -> Table:
    shown = Table("row", "how", "figures", "sizes", "repeats")
    for row in rows:
        sizes = "\n".join(f"{name}={amount}" for name, amount in row.full.items())
        figures = "\n".join(
            f"{figure.what.format(**row.full)} {bound(figure.reach, figure.form)}".strip()
            for figure in row.figures.values()
        )
        shown.add_row(row.name, row.how.format(**row.full), escape(figures), sizes, str(row.repeats), end_section=True)
    return shown


def _show(results: Results) -> None:
    _out.print(table(results))
    for line in below_table(results):
        _out.print(escape(line), highlight=False, soft_wrap=True)


def _wrong(message: str) -> NoReturn:
    _err.print(f"[red]{escape(message)}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(_WRONG)


if __name__ == "__main__":
    app()
