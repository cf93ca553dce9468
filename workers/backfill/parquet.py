"""Rows of a Parquet file as JSON. Needs the extra `parquet`.

Columns are named like the fields of a job or of an episode. A cell that is null says nothing, as an absent field does;
inside `content` it is a value like others.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above

from workers.backfill.errors import SourceError

#: Rows that are in memory at once.
_BATCH: Final = 500
#: Written by pandas beside the columns.
_INDEX: Final = "__index_level_"


def rows(path: str, *, after: int = 0) -> Iterator[bytes | str]:
    """Each row as a JSON document, or as text: why it cannot be written as one.

    Args:
        path: of the file.
        after: rows to skip; groups of rows before them are not read.

    Raises:
        SourceError: the file cannot be read, or not to its end.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith(_INDEX)]
            groups, skip = _groups(file, after)
            for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups, columns=names):
                wanted = batch.slice(min(skip, batch.num_rows))
                skip -= batch.num_rows - wanted.num_rows
                yield from map(_document, _as_python(wanted))
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as Parquet: {type(error).__name__}. Write the file again") from error


def _groups(file: Any, after: int) -> tuple[list[int], int]:
    """The groups of rows that are to be read, and how many rows of the first to skip."""
    first, skip = 0, after
    while first < file.num_row_groups and file.metadata.row_group(first).num_rows <= skip:
        skip -= file.metadata.row_group(first).num_rows
        first += 1
    return list(range(first, file.num_row_groups)), skip


def _as_python(batch: Any) -> list[dict[str, Any]]:
    fields = [(field.name, _in_microseconds(field.type)) for field in batch.schema]
    columns = [
        # Nanoseconds are cut off: Python has none, and nobody remembers by them.
        column.cast(kind, safe=False) if kind != column.type else column
        for column, (_, kind) in zip(batch.columns, fields, strict=True)
    ]
    values = [column.to_pylist(maps_as_pydicts="lossy") for column in columns]
    names = [name for name, _ in fields]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*values, strict=True)]


def _in_microseconds(kind: Any) -> Any:
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", tz=kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    return kind


def _document(row: dict[str, Any]) -> bytes | str:
    try:
        return json.dumps(_without_nulls(row), ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError):
        return "a cell holds bytes or another type that JSON has no word for"


def _without_nulls(value: Any) -> Any:
    """The same without what is null, but for what `content` holds."""
    if isinstance(value, dict):
        return {
            name: part if name == "content" else _without_nulls(part)
            for name, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError
