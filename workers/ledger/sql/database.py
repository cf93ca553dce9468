"""The ledger's database: how it is reached, and the one transaction that writes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tasks.contract import AttemptRecord
from workers.ledger.amounts import cost_pico
from workers.ledger.errors import LedgerUnavailable
from workers.ledger.sql.schema import CURSORS, GAPS, RECORDS, migrate
from workers.ledger.stream import Batch, Cursor, Entry

#: Scheme of `BYOM_LEDGER_URL` → what SQLAlchemy calls it.
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
#: Seconds to wait for a server, and for another process that writes to the same SQLite file.
_PATIENCE = 10


class CursorMoved(Exception):
    """Another process has written what this one was about to write; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one batch came to."""

    #: Records that are new.
    new: int
    #: Records that were there already.
    known: int


class Database:
    """The ledger's database, with its tables in place."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: SecretStr) -> Self:
        """Connect, and create or bring up to date what is there.

        Args:
            url: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`.

        Raises:
            LedgerUnavailable: it is no such URL, or the database does not answer.
            LedgerSchema: the database is newer than this program.
        """
        database = cls(_engine(url))
        try:
            with database.begin() as connection:
                migrate(connection)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction.

        Raises:
            LedgerUnavailable: the database does not answer, or refuses.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            # The driver's own words; SQLAlchemy's would repeat the statement.
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise LedgerUnavailable(
                f"the database of BYOM_LEDGER_URL cannot be used: {reason}. Nothing was written by this step; "
                "run it again when the database is well."
            ) from None

    def cursor(self, stream: str) -> Cursor | None:
        """Up to where a stream is written here; None when it never was."""
        with self.begin() as connection:
            row = connection.execute(
                sa.select(CURSORS.c.last_id, CURSORS.c.place).where(CURSORS.c.stream == stream)
            ).first()
        return None if row is None else Cursor(last=row.last_id, place=row.place)

    def write(self, stream: str, batch: Batch, *, before: Cursor | None) -> Written:
        """Write a batch and the cursor behind it, both or neither.

        Args:
            stream: name of the stream.
            batch: what was read.
            before: the cursor that the batch was read from, as `cursor` gave it.

        Raises:
            CursorMoved: another process has been faster.
            LedgerUnavailable: the database does not answer, or refuses.
            UnreadableRecord: an entry is not a usage record.
        """
        rows = [_row(entry) for entry in batch.entries]
        with self.begin() as connection:
            _move(connection, stream, before, batch.cursor)
            if batch.gap is not None:
                connection.execute(
                    sa.insert(GAPS).values(
                        stream=stream,
                        after_id=batch.gap.after,
                        before_id=batch.gap.before,
                        missing=batch.gap.missing,
                        found_at=datetime.now(UTC),
                    )
                )
            new = connection.execute(_insert(connection, RECORDS), rows).rowcount if rows else 0
        return Written(new=new, known=len(rows) - new)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _engine(url: SecretStr) -> sa.Engine:
    scheme, _, _ = url.get_secret_value().partition(":")
    driver = _DRIVERS.get(scheme)
    try:
        address = sa.make_url(url.get_secret_value()) if driver else None
    except (ArgumentError, ValueError):
        address = None
    if driver is None or address is None:
        # The URL may hold a password: it is not repeated.
        raise LedgerUnavailable(
            "BYOM_LEDGER_URL is not a database that this program knows; "
            "write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
        )
    lite = driver.startswith("sqlite")
    try:
        engine = sa.create_engine(
            address.set(drivername=driver),
            connect_args={"timeout": _PATIENCE} if lite else {"connect_timeout": _PATIENCE},
            hide_parameters=True,
            # How many rows an INSERT brought is asked for below.
            execution_options={"preserve_rowcount": True},
            pool_pre_ping=not lite,
        )
    except (NoSuchModuleError, ImportError):
        raise LedgerUnavailable("PostgreSQL needs psycopg: pip install 'byom-workers[sql]'") from None
    if lite:
        sa.event.listen(engine, "connect", _leave_transactions_to_us)
        sa.event.listen(engine, "begin", _begin_writing)
    return engine


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    """Python's own handling begins transactions late, and commits before tables are created."""
    connection.isolation_level = None


def _begin_writing(connection: sa.Connection) -> None:
    """Take SQLite's one write lock at once: taking it later may fail without a wait."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _move(connection: sa.Connection, stream: str, before: Cursor | None, after: Cursor) -> None:
    values = {"last_id": after.last, "place": after.place, "updated_at": datetime.now(UTC)}
    if before is None:
        moved = connection.execute(_insert(connection, CURSORS), {"stream": stream, **values})
    else:
        moved = connection.execute(
            sa.update(CURSORS).where(CURSORS.c.stream == stream, CURSORS.c.last_id == before.last).values(values)
        )
    if moved.rowcount != 1:
        raise CursorMoved


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Insert what is not there yet."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _row(entry: Entry) -> dict[str, Any]:
    record = entry.record()
    fields = {name: getattr(record, name) for name in AttemptRecord.model_fields if name not in {"usage", "cost_usd"}}
    return {
        **{name: value.value if hasattr(value, "value") else value for name, value in fields.items()},
        **{f"{kind}_tokens": tokens for kind, tokens in record.usage.model_dump().items()},
        "stream_id": entry.id,
        "cost_usd": None if record.cost_usd is None else Decimal(record.cost_usd),
        "cost_pico": cost_pico(record),
    }
