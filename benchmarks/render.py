"""The table, for a terminal and for the docs."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from benchmarks.results import Line, Results, RowResult
from benchmarks.rows import Reach, written

#: The docs hold the table between two of these.
BEGIN, END = "<!-- table: {name} -->", "<!-- end of table: {name} -->"


def verdict(line: Line) -> str:
    """Whether a figure reached what it is to."""
    if line.reach is None:
        return ""
    if not line.values:
        return "not measured"
    return "reached" if line.reached else "not reached"


def bound(reach: Reach | None, form: str) -> str:
    """What is to be reached, such as `≤ 2.00 s`."""
    if reach is None:
        return ""
    return f"{reach.comparison} {written(form, reach.bound)}"


def cells(line: Line) -> tuple[str, ...]:
    """Least, median, greatest; what is to be reached; whether it was."""
    spread = (written(line.form, value) for value in line.spread) if line.values else ("", "", "")
    return (*spread, bound(line.reach, line.form), verdict(line))


def table(results: Results) -> Table:
    """For a terminal."""
    shown = Table("what", "min", "median", "max", "to reach", "", "repeats", title=_title(results))
    for row in results.rows:
        for number, line in enumerate(row.lines):
            *amounts, judged = cells(line)
            colour = {"reached": "green", "not reached": "red", "not measured": "yellow"}.get(judged, "")
            shown.add_row(
                escape(line.what),
                *amounts,
                f"[{colour}]{judged}[/]" if colour else judged,
                str(len(line.values)),
                end_section=number == len(row.lines) - 1,
            )
    return shown


def _title(results: Results) -> str:
    quick = ", small sizes: the figures say nothing" if results.quick else ""
    return f"Measured {results.began:%Y-%m-%d %H:%M} UTC{quick}"


def below_table(results: Results) -> Iterator[str]:
    """What belongs to the table: failures, machine, load, and how to repeat each row."""
    for row in results.rows:
        for failure in row.failures:
            yield f"{row.name} could not be measured: {failure}"
    for row in results.rows:
        for note in row.notes:
            yield f"{row.name}: {note}"
    yield machine(results)
    for row in results.rows:
        yield f"{row.name}: {row.command}  ({loads(row)})"


def machine(results: Results) -> str:
    """Date, machine and load in one sentence."""
    on = results.machine
    version = f", commit {results.commit}" if results.commit else ""
    return (
        f"{results.began:%Y-%m-%d %H:%M} to {results.ended:%H:%M} UTC{version}; {on.cores} cores ({on.processor}), "
        f"{on.memory_gb:.0f} GB, {on.system}; Python {on.python}, {on.broker}; load average "
        f"{_load(results.load_began)} at the beginning, {_load(results.load_ended)} at the end (over 1, 5, 15 minutes)"
    )


def loads(row: RowResult) -> str:
    """Under what load a row was measured, and how long it took."""
    if not row.loads:
        return "not measured"
    all_loads = [load for pair in row.loads for load in pair]
    return f"load {min(all_loads):.1f} to {max(all_loads):.1f}, {sum(row.seconds):.0f} s"


def _load(averages: tuple[float, float, float]) -> str:
    return ", ".join(f"{average:.1f}" for average in averages)


def markdown(results: Results, *, goals: bool = False) -> str:
    """For the docs: the table, machine and load, and the command of each row.

    Args:
        results: what was found.
        goals: only the figures that have something to reach, and no commands.
    """
    return "\n".join(_short(results) if goals else _markdown(results)) + "\n"


def _short(results: Results) -> Iterator[str]:
    yield from _lines(results, goals=True)
    yield ""
    yield f"{machine(results)}."


def _lines(results: Results, *, goals: bool) -> Iterator[str]:
    yield "| what | min | median | max | to reach | | repeats |"
    yield "|---|---|---|---|---|---|---|"
    for row in results.rows:
        for line in row.lines:
            if line.reach is not None or not goals:
                *amounts, judged = cells(line)
                yield f"| {' | '.join([_plain(line.what), *amounts, _marked(judged), str(len(line.values))])} |"


def _markdown(results: Results) -> Iterator[str]:
    yield f"Measured {machine(results)}."
    if results.quick:
        yield ""
        yield "**Measured with small sizes: the figures say nothing.**"
    yield ""
    yield from _lines(results, goals=False)
    yield ""
    yield "| row | how | command | load |"
    yield "|---|---|---|---|"
    for row in results.rows:
        yield f"| `{row.name}` | {_plain(row.how)} | `{row.command}` | {loads(row)} |"
    said = [f"`{row.name}` could not be measured: {failure}" for row in results.rows for failure in row.failures]
    said += [f"`{row.name}`: {note}" for row in results.rows for note in row.notes]
    if said:
        yield ""
        yield from (f"* {_plain(line)}" for line in said)


def _plain(text: str) -> str:
    """Text that stays in its cell."""
    return text.replace("|", "\\|")


def _marked(judged: str) -> str:
    return f"**{judged}**" if judged in {"not reached", "not measured"} else judged


def put(page: str, name: str, text: str) -> str:
    """A page with the text in the place that is marked for the table of that name.

    Raises:
        ValueError: the page has no such place.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no place for the table: write '{begin}' and '{end}' where it belongs")
    return f"{before}{begin}\n\n{text}\n{end}{after}"
