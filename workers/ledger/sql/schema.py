"""Tables of the ledger, on SQLite and PostgreSQL, and how an older database becomes a newer one."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from workers.ledger.errors import LedgerSchema

METADATA = sa.MetaData()

#: On PostgreSQL, where processes that start together must not both create tables: "byom" as a number.
_LOCK = 0x62796F6D


class Instant(sa.types.TypeDecorator[datetime]):
    """A moment; in SQLite text in UTC that sorts by time."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """`TIMESTAMP WITH TIME ZONE`, or text."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """What is stored."""
        if value is None or dialect.name != "sqlite":
            return value
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - as declared
        """What was stored."""
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Money(sa.types.TypeDecorator[Decimal]):
    """USD, exactly; in SQLite text, since its numbers are binary fractions."""

    impl = sa.Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """`NUMERIC` without bounds, or text."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else sa.Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> Any:
        """What is stored."""
        return format(value, "f") if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:  # noqa: ARG002 - as declared
        """What was stored."""
        return None if value is None else Decimal(value)


_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

#: One row per attempt. Columns are named as the fields of `AttemptRecord`; tokens have `_tokens` behind their kind.
RECORDS = sa.Table(
    "byom_usage_records",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("stream_id", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False, index=True),
    sa.Column("job_id", sa.Text, nullable=False, index=True),
    sa.Column("attempt", sa.Text, nullable=False),
    sa.Column("account", sa.Text),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("served_model", sa.Text),
    sa.Column("credential_version", sa.Integer),
    sa.Column("priority", sa.Text),
    # Null is the standard tier.
    sa.Column("tier", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
    sa.Column("estimated_input", sa.BigInteger),
    sa.Column("estimated_text", sa.BigInteger),
    # Null where the prompt was about one episode.
    sa.Column("packed", sa.Integer),
    sa.Column("tokens_saved", sa.BigInteger),
    # As the record has it; null where the price is not known.
    sa.Column("cost_usd", Money),
    # The same as whole pico-dollars, so that sums are exact on both.
    sa.Column("cost_pico", sa.BigInteger),
    sa.Column("price", _JSON),
    sa.Column("latency_ms", sa.BigInteger, nullable=False),
    sa.Column("queue_wait_ms", sa.BigInteger),
    sa.Column("request_id", sa.Text),
    sa.Column("labels", _JSON, nullable=False),
    sa.Index("ix_byom_usage_records_project_started_at", "project", "started_at"),
)

#: Up to where each stream is written here.
CURSORS = sa.Table(
    "byom_ledger_cursors",
    METADATA,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("last_id", sa.Text, nullable=False),
    sa.Column("place", sa.BigInteger),
    sa.Column("updated_at", Instant, nullable=False),
)

#: Records that were dropped from a stream before they could be written here.
GAPS = sa.Table(
    "byom_ledger_gaps",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("after_id", sa.Text, nullable=False),
    sa.Column("before_id", sa.Text),
    # Null where it cannot be told.
    sa.Column("missing", sa.BigInteger),
    sa.Column("found_at", Instant, nullable=False),
)

#: Steps that this database has been through.
VERSIONS = sa.Table(
    "byom_ledger_versions",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("applied_at", Instant, nullable=False),
)

Step = Callable[[sa.Connection], None]


def _first(connection: sa.Connection) -> None:
    METADATA.create_all(connection, tables=[RECORDS, CURSORS, GAPS])


def _tier(connection: sa.Connection) -> None:
    _add_column(connection, "tier", "TEXT")


def _estimates(connection: sa.Connection) -> None:
    _add_column(connection, "estimated_input", "BIGINT")
    _add_column(connection, "estimated_text", "BIGINT")


def _packing(connection: sa.Connection) -> None:
    _add_column(connection, "packed", "INTEGER")
    _add_column(connection, "tokens_saved", "BIGINT")


def _add_column(connection: sa.Connection, name: str, kind: str) -> None:
    # The first step of a newer program makes it at once.
    if name not in {column["name"] for column in sa.inspect(connection).get_columns(RECORDS.name)}:
        connection.execute(sa.text(f"ALTER TABLE {RECORDS.name} ADD COLUMN {name} {kind}"))


#: What makes version n of version n - 1, from 1. Steps are only ever added; later ones write their own DDL.
STEPS: Sequence[Step] = (_first, _tier, _estimates, _packing)


def migrate(connection: sa.Connection, *, steps: Sequence[Step] = STEPS) -> int:
    """Bring a database to the newest version, within the transaction of the connection; returns that version.

    Raises:
        LedgerSchema: it is newer than this code.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    METADATA.create_all(connection, tables=[VERSIONS])
    version = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(VERSIONS.c.version), 0))) or 0
    if version > len(steps):
        raise LedgerSchema(
            f"the ledger's database is of version {version}, and this program knows versions up to {len(steps)}: "
            "run the newer program that made it so"
        )
    for number in range(version + 1, len(steps) + 1):
        steps[number - 1](connection)
        connection.execute(sa.insert(VERSIONS).values(version=number, applied_at=datetime.now(UTC)))
    return len(steps)
