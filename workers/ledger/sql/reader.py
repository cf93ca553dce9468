"""Usage tables from the database: as those from the hourly sums, with any number of labels."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasks.contract import TokenUsage
from workers.ledger.amounts import Amounts
from workers.ledger.reader import span
from workers.ledger.rows import LABEL, NONE, Grouping, UsageRow
from workers.ledger.sql.database import Database
from workers.ledger.sql.schema import RECORDS

_C = RECORDS.c
_TOKENS = [_C[f"{kind}_tokens"] for kind in TokenUsage.model_fields]


def _when(condition: Any) -> Any:
    return sa.func.sum(sa.case((condition, 1), else_=0))


#: As `Amounts` has them.
_AMOUNTS = (
    sa.func.coalesce(sa.func.sum(_C.cost_pico), 0),
    sa.func.count(),
    _when(_C.status != "ok"),
    _when(_C.cost_pico.is_(None) & (sum(_TOKENS[1:4], start=_TOKENS[0]) > 0)),
    *map(sa.func.sum, _TOKENS),
    sa.func.sum(_C.latency_ms),
    sa.func.coalesce(sa.func.sum(_C.queue_wait_ms), 0),
)


class SqlReader:
    """Reads the database. A usage source."""

    def __init__(self, database: Database, *, now: datetime) -> None:
        self._database = database
        self._now = now

    def totals(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = ("project", "provider"),
        where: Mapping[str, str] | None = None,
    ) -> list[UsageRow]:
        """Sums of whole hours, one row per combination of `by`; see `UsageSource`."""
        grouping = Grouping.of(by)
        start, end = span(since, until, now=self._now)
        names = [*by, *({"role"} - set(by))]
        with self._database.begin() as connection:
            keys = [_column(name, connection.dialect.name).label(f"k{place}") for place, name in enumerate(names)]
            # By the columns' names: an expression with a parameter in it is not the same expression twice.
            groups: list[sa.ColumnElement[Any]] = [sa.literal_column(key.name) for key in keys]
            asked = sa.select(*keys, *_AMOUNTS).where(_C.started_at >= start, _C.started_at < end).group_by(*groups)
            for name, value in (where or {}).items():
                text = sa.cast(_C[name], sa.Text)
                asked = asked.where(text.is_(None) if value == NONE else text == value)
            for row in connection.execute(asked):
                values, amounts = row[: len(names)], row[len(names) :]
                texts = {name: None if value is None else str(value) for name, value in zip(names, values, strict=True)}
                grouping.add(texts, Amounts(*map(int, amounts)))
        return grouping.rows()


def _column(name: str, dialect: str) -> sa.ColumnElement[Any]:
    if name.startswith(LABEL):
        label: sa.ColumnElement[Any] = _C.labels[name.removeprefix(LABEL)].as_string()
        return label
    if name not in {"day", "hour"}:
        return _C[name]
    if dialect == "sqlite":
        hour: sa.ColumnElement[str] = sa.type_coerce(_C.started_at, sa.Text)
    else:
        hour = sa.func.to_char(sa.func.timezone("UTC", _C.started_at), 'YYYY-MM-DD"T"HH24')
    return sa.func.substr(hour, 1, 10) if name == "day" else sa.func.substr(hour, 1, 13) + ":00Z"
