"""What a vendor reports, whatever it came in."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Self

from workers.ledger.errors import UnreadableReport

#: What can be compared. A vendor that tells read and written cache apart from plain input has `input`; one that counts
#: all of it together has `all_input`.
QUANTITIES = ("input", "all_input", "cached_input", "cache_write", "output", "cost_usd")

#: A number with fewer digits is a date such as 20261124.
_UNIX_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """Usage of one model in one span of a day."""

    day: date
    #: None where the report does not tell models apart.
    model: str | None
    #: Quantity → amount: tokens, or USD for `cost_usd`.
    amounts: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a vendor reports."""

    rows: Sequence[ReportRow]
    #: Days that the report speaks of, those without usage included.
    days: frozenset[date]
    #: From when until when.
    start: datetime
    end: datetime
    #: What the rows say, of `QUANTITIES`.
    quantities: Sequence[str]

    @classmethod
    def of(cls, rows: Iterable[ReportRow], *, spans: Sequence[tuple[datetime, datetime]] = ()) -> Self:
        """A report of rows, and of the spans that they are about; without these of whole days.

        Raises:
            ValueError: it speaks of no time at all.
        """
        rows = list(rows)
        spans = spans or [_whole(day) for day in {row.day for row in rows}]
        if not spans:
            raise ValueError("it is empty")
        said = {quantity for row in rows for quantity in row.amounts}
        return cls(
            rows=rows,
            days=frozenset([*(start.date() for start, _ in spans), *(row.day for row in rows)]),
            start=min(start for start, _ in spans),
            end=max(end for _, end in spans),
            quantities=[quantity for quantity in QUANTITIES if quantity in said],
        )


def _whole(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def read_report(path: Path, readers: Mapping[str, Callable[[Any], Report]], *, provider: str) -> Report:
    """Read a vendor's JSON: one page of its API, a list of pages, or pages one per line.

    Args:
        path: the file.
        readers: provider → how its pages are read.
        provider: whose report it is.

    Raises:
        UnreadableReport: it is not what that vendor's API returns.
    """
    reader = readers.get(provider)
    if reader is None:
        raise UnreadableReport(
            f"no report format of {provider} is known here; give a CSV and say what its columns are: --columns"
        )
    try:
        return reader(_pages(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UnreadableReport(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableReport(f"{path} is not a usage report of {provider}: it is no text in UTF-8") from None
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise UnreadableReport(
            f"{path} is not a usage report of {provider} as its API returns it: {what}. A CSV is read with --columns."
        ) from None


def _pages(text: str) -> list[dict[str, Any]]:
    """Time buckets of all pages."""
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    while any(isinstance(document, list) for document in documents):
        documents = [
            item for document in documents for item in (document if isinstance(document, list) else [document])
        ]
    return [bucket for document in documents for bucket in document.get("data", [document])]


def moment(value: Any) -> datetime:
    """An instant from Unix seconds, or from a date or time in ISO 8601 (without an offset: UTC).

    Raises:
        ValueError: it is neither.
    """
    text = str(value).strip()
    if text.isdigit() and len(text) >= _UNIX_DIGITS:
        return datetime.fromtimestamp(int(text), UTC)
    try:
        parsed = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        raise ValueError(f"'{text[:30]}' is neither an ISO 8601 date or time nor Unix seconds") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def number(value: Any) -> Decimal:
    """A number as vendors write it; absent is 0.

    Raises:
        ValueError: it is no number.
    """
    if value in {None, ""}:
        return Decimal(0)
    try:
        return Decimal(str(value).replace(",", "").strip())
    except InvalidOperation:
        raise ValueError(f"'{str(value)[:20]}' is not a number") from None
