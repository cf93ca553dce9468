"""Any CSV of usage, by a mapping of its columns: what clouds and consoles export."""

import csv
from collections.abc import Mapping
from pathlib import Path

from workers.ledger.errors import UnreadableReport

from .report import Report, ReportRow, moment, number

#: What a column can be → the quantity that it holds; `time` and `model` are none.
COLUMNS = {
    "time": None,
    "model": None,
    "tokens_in": "all_input",
    "tokens_in_uncached": "input",
    "tokens_cached": "cached_input",
    "tokens_cache_write": "cache_write",
    "tokens_out": "output",
    "cost": "cost_usd",
}


def parse_columns(text: str) -> dict[str, str]:
    """Read `tokens_in=Input tokens,time=Date`.

    Raises:
        UnreadableReport: with the list of what can be named.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    columns = {name.strip(): header.strip() for name, _, header in pairs}
    wrong = [name for name, header in columns.items() if name not in COLUMNS or not header]
    if wrong or "time" not in columns or not any(COLUMNS.get(name) for name in columns):
        raise UnreadableReport(
            f"--columns takes NAME=HEADER, separated by commas, with the names {', '.join(COLUMNS)}; "
            "time and one of the others beside model are required"
        )
    return columns


def read_table(path: Path, columns: Mapping[str, str]) -> Report:
    """Read a CSV with a line of headers.

    Raises:
        UnreadableReport: a column is missing, a value is no number or no time (with its line), or no line follows the
            headers.
    """
    rows: list[ReportRow] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(columns.values()) - set(reader.fieldnames or ())
            if missing:
                raise UnreadableReport(
                    f"{path} has no column {', '.join(sorted(missing))}; it has: {', '.join(reader.fieldnames or ())}"
                )
            for line in reader:
                try:
                    rows.append(_row(line, columns))
                except ValueError as error:
                    raise UnreadableReport(f"{path}, line {reader.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableReport(f"cannot read {path} as CSV in UTF-8: {error}") from None
    if not rows:
        raise UnreadableReport(
            f"{path} has headers and no line below them; export the report again, for days with usage"
        )
    return Report.of(rows)


def _row(line: Mapping[str, str], columns: Mapping[str, str]) -> ReportRow:
    return ReportRow(
        day=moment(line[columns["time"]]).date(),
        model=line[columns["model"]].strip() if "model" in columns else None,
        amounts={
            quantity: number(line[columns[name]])
            for name, quantity in COLUMNS.items()
            if quantity is not None and name in columns
        },
    )
