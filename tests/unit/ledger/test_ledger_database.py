"""The database: each record once, whoever writes and whenever it is killed; exact; never silent about gaps."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fakeredis
import pytest
import redis
import sqlalchemy as sa
from pydantic import SecretStr

from tasks.contract import TokenUsage
from tests.ledger import NOW, settle, usage_record
from workers.ledger.errors import LedgerSchema, LedgerUnavailable, UnreadableRecord
from workers.ledger.sql.database import CursorMoved, Database
from workers.ledger.sql.schema import CURSORS, GAPS, RECORDS, STEPS, VERSIONS, migrate
from workers.ledger.sql.sync import sync
from workers.ledger.stream import RECORDS_KEY, Cursor, RecordStream


@pytest.fixture
def database(ledger_url: SecretStr) -> Iterator[Database]:
    with Database.open(ledger_url) as opened:
        yield opened


def rows(database: Database, table: sa.Table = RECORDS) -> list[dict[str, Any]]:
    with database.begin() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]


def publish(client: redis.Redis, *calls: str) -> None:
    """Put records into the stream without a worker."""
    for call in calls:
        client.xadd(RECORDS_KEY, {"record": usage_record(call).model_dump_json(exclude_none=True)})


async def test_a_record_is_kept_whole_and_exact(database: Database) -> None:
    server = fakeredis.FakeServer()
    price = {"usd_per_million": {"input": "0.10"}, "source": "genai-prices"}
    record = usage_record(
        "a",
        usage=TokenUsage(input=1, cached_input=2, cache_write=3, output=4, reasoning=5),
        cost_usd="0.123456789012345678",
        price=price,
        labels={"team": "search"},
        packed=4,
        tokens_saved=900,
        started_at=datetime(2026, 11, 23, 12, 30, 0, 123456, tzinfo=UTC),
    )
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        await settle(client, [record])
    list(sync(RecordStream(fakeredis.FakeRedis(server=server)), database))

    (row,) = rows(database)
    assert row.pop("stream_id").endswith("-0")
    assert row == {
        "id": "a",
        "started_at": record.started_at,
        "job_id": "job-a",
        "attempt": "1.1.1",
        "account": "acme-inc",
        "project": "acme",
        "provider": "openai",
        "connection": "primary",
        "role": "primary",
        "model": "gpt-6-luna",
        "served_model": "gpt-6-luna-2026-07-09",
        "credential_version": 2,
        "priority": "live",
        "tier": "flex",
        "status": "ok",
        "action": "done",
        "input_tokens": 1,
        "cached_input_tokens": 2,
        "cache_write_tokens": 3,
        "output_tokens": 4,
        "reasoning_tokens": 5,
        "estimated_input": 1_100,
        "estimated_text": 60,
        "packed": 4,
        "tokens_saved": 900,
        "cost_usd": Decimal("0.123456789012345678"),
        "cost_pico": 123_456_789_012,
        "price": price,
        "latency_ms": 800,
        "queue_wait_ms": 50,
        "request_id": "req-a",
        "labels": {"team": "search"},
    }


def test_what_is_not_known_is_null(database: Database, fake: redis.Redis) -> None:
    record = usage_record("a", cost_usd=None, price=None, account=None, queue_wait_ms=None, priority=None, tier=None)
    fake.xadd(RECORDS_KEY, {"record": record.model_dump_json(exclude_none=True)})
    list(sync(RecordStream(fake), database))

    (row,) = rows(database)
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == {
        "cost_usd",
        "cost_pico",
        "price",
        "account",
        "queue_wait_ms",
        "priority",
        "tier",
        "packed",
        "tokens_saved",
    }
    with database.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(RECORDS.c.price.is_(None))) == 1


@pytest.fixture
def fake() -> redis.Redis:
    return fakeredis.FakeRedis()


def test_syncing_again_writes_what_is_new_and_nothing_twice(database: Database, fake: redis.Redis) -> None:
    stream = RecordStream(fake)
    publish(fake, *(f"c{number}" for number in range(25)))
    first = list(sync(stream, database, batch=10))
    again = list(sync(stream, database, batch=10))
    publish(fake, "late")
    then = list(sync(stream, database, batch=10))

    assert [step.new for step in first] == [10, 10, 5]
    assert (again, [step.new for step in then]) == ([], [1])
    assert len(rows(database)) == 26


def test_a_record_that_is_there_already_is_left_alone(database: Database, fake: redis.Redis) -> None:
    publish(fake, "a", "b")
    list(sync(RecordStream(fake), database))
    with database.begin() as connection:
        connection.execute(sa.delete(CURSORS))
    publish(fake, "c")

    steps = list(sync(RecordStream(fake), database))

    assert [(step.new, step.known) for step in steps] == [(1, 2)]
    assert [row["id"] for row in rows(database)] == ["a", "b", "c"]


class Killed(BaseException):
    """Ends the process wherever it is."""


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_kill_anywhere_loses_and_doubles_nothing(database: Database, fake: redis.Redis, moment: int) -> None:
    left_to_live = iter(range(moment))

    def maybe_killed(*event: object) -> None:
        # A process that dies lets go of its lock; this one goes on, and would keep what it is just taking.
        taking_the_lock = len(event) > 2 and str(event[2]).startswith("BEGIN")
        if not taking_the_lock and next(left_to_live, None) is None:
            raise Killed

    calls = [f"c{number:03}" for number in range(120)]
    publish(fake, *calls)
    for name in ("before_cursor_execute", "commit"):
        sa.event.listen(database._engine, name, maybe_killed)
    with suppress(Killed):
        list(sync(RecordStream(fake), database, batch=20))
    for name in ("before_cursor_execute", "commit"):
        sa.event.remove(database._engine, name, maybe_killed)

    left = rows(database)
    cursor = database.cursor(RECORDS_KEY)
    assert [row["id"] for row in left] == calls[: len(left)]
    assert len(left) == (cursor.place if cursor else 0), "the cursor stands behind the last record that is there"
    list(sync(RecordStream(fake), database, batch=20))
    assert [row["id"] for row in rows(database)] == calls


def test_of_two_that_write_the_same_batch_one_writes_and_both_go_on(database: Database, fake: redis.Redis) -> None:
    stream = RecordStream(fake)
    publish(fake, "a", "b", "c")
    mine = sync(stream, database, batch=2)
    next(mine)
    read = stream.read(Cursor(), count=2)
    with pytest.raises(CursorMoved):
        database.write(RECORDS_KEY, read, before=None)
    before = database.cursor(RECORDS_KEY)
    assert before is not None
    others = [step.new for step in sync(stream, database, batch=2)]
    with pytest.raises(CursorMoved):
        database.write(RECORDS_KEY, stream.read(before, count=2), before=before)

    assert (others, list(mine), len(rows(database))) == ([1], [], 3)


def test_a_gap_is_told_and_kept(database: Database, valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    publish(valkey_client, "a", "b")
    list(sync(stream, database))
    publish(valkey_client, "c", "d", "e")
    valkey_client.xtrim(RECORDS_KEY, maxlen=1, approximate=False)

    steps = list(sync(stream, database))

    assert [step.gap.missing for step in steps if step.gap] == [2]
    (gap,) = rows(database, GAPS)
    assert (gap["missing"], gap["stream"]) == (2, RECORDS_KEY)
    assert [row["id"] for row in rows(database)] == ["a", "b", "e"]
    assert list(sync(stream, database)) == []


def test_an_entry_that_is_no_record_stops_loudly_before_it(database: Database, fake: redis.Redis) -> None:
    publish(fake, "a")
    entry: Any = fake.xadd(RECORDS_KEY, {"record": '{"id": "CANARY"}'})
    steps = sync(RecordStream(fake), database, batch=1)
    next(steps)

    with pytest.raises(UnreadableRecord, match=entry.decode()) as caught:
        next(steps)
    assert "CANARY" not in str(caught.value)
    assert [row["id"] for row in rows(database)] == ["a"]


def test_opening_again_changes_nothing(ledger_url: SecretStr, fake: redis.Redis) -> None:
    publish(fake, "a")
    with Database.open(ledger_url) as database:
        list(sync(RecordStream(fake), database))
    with Database.open(ledger_url) as database:
        assert [row["version"] for row in rows(database, VERSIONS)] == [*range(1, len(STEPS) + 1)]
        assert len(rows(database)) == 1


def test_a_database_from_before_tiers_takes_records_that_have_one(database: Database, fake: redis.Redis) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE byom_usage_records DROP COLUMN tier"))
        connection.execute(sa.delete(VERSIONS).where(VERSIONS.c.version > 1))
        migrate(connection)

    publish(fake, "a")
    list(sync(RecordStream(fake), database))

    assert [row["tier"] for row in rows(database)] == ["flex"]


def test_an_older_database_goes_through_the_missing_steps_once_each(database: Database) -> None:
    taken: list[str] = []

    def second(connection: sa.Connection) -> None:
        taken.append("second")
        connection.execute(sa.text("ALTER TABLE byom_usage_records ADD COLUMN later TEXT"))

    def third(_connection: sa.Connection) -> None:
        taken.append("third")

    for steps in ([*STEPS, second], [*STEPS, second, third], [*STEPS, second, third]):
        with database.begin() as connection:
            migrate(connection, steps=steps)

    assert taken == ["second", "third"]
    assert [row["version"] for row in rows(database, VERSIONS)] == [*range(1, len(STEPS) + 3)]


def test_a_step_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    def broken(connection: sa.Connection) -> None:
        connection.execute(sa.text("ALTER TABLE byom_usage_records ADD COLUMN later TEXT"))
        raise Killed

    with pytest.raises(Killed), database.begin() as connection:
        migrate(connection, steps=[*STEPS, broken])

    with database.begin() as connection:
        columns = {column["name"] for column in sa.inspect(connection).get_columns("byom_usage_records")}
    assert columns == set(RECORDS.columns.keys())
    assert [row["version"] for row in rows(database, VERSIONS)] == [*range(1, len(STEPS) + 1)]


def test_a_database_of_a_newer_program_is_refused(database: Database, ledger_url: SecretStr) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(VERSIONS).values(version=len(STEPS) + 1, applied_at=NOW))

    known = len(STEPS)
    with pytest.raises(LedgerSchema, match=f"version {known + 1}, and this program knows versions up to {known}"):
        Database.open(ledger_url)


@pytest.mark.parametrize(
    "url", ["mysql://u:CANARY@host/x", "CANARY", "postgresql://u:CANARY@host:port/x", "sqlite+aiosqlite:///CANARY"]
)
def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="sqlite:///PATH or postgresql://") as caught:
        Database.open(SecretStr(url))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:CANARY@127.0.0.1:1/x", "sqlite:////nowhere/at/all/usage.db"])
def test_a_database_that_does_not_answer_is_told_without_its_password(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="BYOM_LEDGER_URL cannot be used: ") as caught:
        Database.open(SecretStr(url))
    assert "CANARY" not in str(caught.value)
