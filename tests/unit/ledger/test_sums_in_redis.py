"""What settlements leave in Redis: exact numbers, in bounded room, with a lifetime."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import AttemptRecord
from tests.ledger import NOW, settle, usage_record
from workers.jobs import RedisJobs
from workers.ledger import RECORDS_KEY, UnknownDimension, UsageReader, hour_key
from workers.ledger.amounts import Amounts
from workers.ledger.stream import Cursor, RecordStream
from workers.ledger.sums import failed_key

NUMBERS = st.integers(min_value=0, max_value=2**53)


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
async def client(server: fakeredis.FakeServer) -> AsyncIterator[fakeredis.FakeAsyncRedis]:
    async with fakeredis.FakeAsyncRedis(server=server) as opened:
        yield opened


@pytest.fixture
def reader(server: fakeredis.FakeServer) -> UsageReader:
    return UsageReader(fakeredis.FakeRedis(server=server), now=NOW)


@given(st.builds(Amounts, cost_pico=st.integers(min_value=0, max_value=2**70), attempts=NUMBERS, output=NUMBERS))
def test_amounts_are_stored_without_loss(amounts: Amounts) -> None:
    assert Amounts.unpack(amounts.pack().encode()) == amounts


def test_amounts_of_older_and_newer_workers_are_understood() -> None:
    assert Amounts.unpack(b"1 5 7") == Amounts(cost_pico=1_000_005, attempts=7)
    assert Amounts.unpack((Amounts(attempts=7).pack() + " 99").encode()) == Amounts(attempts=7)


async def test_money_is_carried_so_that_no_number_grows_beyond_what_lua_counts_exactly(
    client: fakeredis.FakeAsyncRedis,
) -> None:
    await settle(client, [usage_record(f"c{number}", cost_usd="0.000000999999") for number in range(5)])

    ((field, packed),) = dict(await client.hgetall(hour_key(NOW))).items()
    assert packed.split()[:2] == [b"4", b"999995"], field


async def test_what_newer_workers_sum_beyond_this_version_is_kept_when_this_version_adds(
    client: fakeredis.FakeAsyncRedis,
) -> None:
    await settle(client, [usage_record("a")])
    stored: dict[Any, Any] = await client.hgetall(hour_key(NOW))
    ((field, packed),) = stored.items()
    await client.hset(hour_key(NOW), field, packed + b" 41")
    await settle(client, [usage_record("b")])

    stored = await client.hgetall(hour_key(NOW))
    assert stored[field].split()[-1] == b"41"


async def test_fields_that_older_workers_wrote_lack_a_dimension_and_count(
    client: fakeredis.FakeAsyncRedis, reader: UsageReader
) -> None:
    await client.hset(hour_key(NOW), '["inc","acme","openai","m","primary","1"]', Amounts(attempts=3).pack())

    (row,) = reader.totals(by=("project", "priority"))

    assert (row.keys, row.attempts) == ({"project": "acme", "priority": "-"}, 3)


async def test_what_older_workers_summed_without_causes_counts_without_one(
    client: fakeredis.FakeAsyncRedis, reader: UsageReader
) -> None:
    older = Amounts(attempts=5, failed=2, output=40)
    await client.hset(hour_key(NOW), '["inc","acme","openai","m","primary","1"]', older.pack())
    await client.hset(hour_key(NOW), '["inc","globex","openai","m","primary","1"]', Amounts(attempts=3).pack())
    await settle(client, [usage_record("a", status="rate_limited", action="retry"), usage_record("b")])

    rows = {tuple(row.keys.values()): (row.attempts, row.failed) for row in reader.totals(by=("project", "status"))}

    assert rows == {
        ("acme", "-"): (5, 2),
        ("globex", "ok"): (3, 0),
        ("acme", "rate_limited"): (1, 1),
        ("acme", "ok"): (1, 0),
    }


def test_causes_and_a_label_at_once_need_the_database(reader: UsageReader) -> None:
    with pytest.raises(UnknownDimension, match=r"not the two together; .*--from sql"):
        reader.totals(by=("label:team", "status"))
    with pytest.raises(UnknownDimension, match="not the two together"):
        reader.totals(by=("label:team",), where={"status": "ok"})


async def test_attempts_that_do_not_fail_take_no_room_among_causes(client: fakeredis.FakeAsyncRedis) -> None:
    await settle(client, [usage_record("a"), usage_record("b", status="timeout", action="retry")])

    assert await client.hlen(failed_key(hour_key(NOW))) == 1


def labelled(count: int, *, project: str = "acme", label: str = "user", start: int = 0) -> list[AttemptRecord]:
    """Records with a label that is different in each."""
    return [
        usage_record(f"{project}-{label}-{number}", project=project, labels={label: f"v{number}"})
        for number in range(start, start + count)
    ]


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.ledger.sums.LABEL_FIELDS_OF_PROJECT", 5)
    monkeypatch.setattr("workers.ledger.sums.LABEL_FIELDS", 8)


@pytest.mark.usefixtures("small_room")
async def test_label_values_without_room_are_summed_as_others_and_totals_stay_exact(
    client: fakeredis.FakeAsyncRedis, reader: UsageReader
) -> None:
    await settle(client, [*labelled(20), usage_record("known", labels={"user": "v0"}), usage_record("without")])

    rows = {row.keys["label:user"]: row for row in reader.totals(by=("label:user",))}

    assert {name: row.attempts for name, row in rows.items()} == {
        "v0": 2,
        **{f"v{number}": 1 for number in range(1, 5)},
        "(other)": 16,
    }
    assert sum(row.cost_usd for row in rows.values()) == reader.totals()[0].cost_usd


@pytest.mark.usefixtures("small_room")
async def test_a_project_with_too_many_label_values_takes_no_room_from_others(
    client: fakeredis.FakeAsyncRedis, reader: UsageReader
) -> None:
    await settle(client, [*labelled(20), *labelled(3, project="globex"), usage_record("x", project="initech")])

    rows = [(*row.keys.values(), row.attempts) for row in reader.totals(by=("project", "label:user"))]

    assert [row for row in rows if row[0] != "acme"] == [
        ("globex", "v0", 1),
        ("globex", "v1", 1),
        ("globex", "v2", 1),
        ("initech", "-", 1),
    ]


@pytest.mark.usefixtures("small_room")
async def test_all_projects_together_have_an_end_too_whatever_their_labels_are_called(
    client: fakeredis.FakeAsyncRedis, server: fakeredis.FakeServer
) -> None:
    for number in range(20):
        await settle(client, labelled(3, project=f"p{number}", label=f"label{number}"))

    direct = fakeredis.FakeRedis(server=server)
    fields = sum(direct.hlen(key) for key in direct.scan_iter("byom:usage:sums:*:label:*"))
    assert fields == 8


@pytest.mark.usefixtures("small_room")
async def test_the_next_hour_has_room_again(client: fakeredis.FakeAsyncRedis, reader: UsageReader) -> None:
    early = [record.model_copy(update={"started_at": NOW - timedelta(hours=1)}) for record in labelled(20)]
    await settle(client, early)
    await settle(client, labelled(2, start=20))

    rows = reader.totals(since=NOW, by=("label:user",))

    assert [row.keys["label:user"] for row in rows] == ["v20", "v21"]


def test_two_labels_at_once_need_the_database(reader: UsageReader) -> None:
    with pytest.raises(UnknownDimension, match=r"one label at a time, not team, env together; .*--from sql"):
        reader.totals(by=("label:team", "label:env"))


@pytest.mark.usefixtures("small_room")
async def test_sums_live_as_long_as_the_settings_say(
    client: fakeredis.FakeAsyncRedis, server: fakeredis.FakeServer
) -> None:
    jobs = RedisJobs(client, state_ttl=60, records_kept=10, sums_ttl=5_000)
    for record in [*labelled(2), *labelled(6, project="globex"), usage_record("x", status="timeout")]:
        await jobs.settle(record)

    direct = fakeredis.FakeRedis(server=server)
    keys = list(direct.scan_iter("byom:usage:sums:*"))
    assert len(keys) == 4, "the hour, its failures, its label, and the room that labels take"
    assert all(4_990 < direct.ttl(key) <= 5_000 for key in keys)


async def test_the_records_themselves_are_kept_in_a_bounded_stream(
    client: fakeredis.FakeAsyncRedis, server: fakeredis.FakeServer
) -> None:
    await settle(client, [usage_record(f"c{number}") for number in range(500)], records_kept=100)
    direct = fakeredis.FakeRedis(server=server)

    kept = direct.xlen(RECORDS_KEY)
    batch = RecordStream(direct).read(Cursor(), count=1_000)

    assert 100 <= kept < 500
    assert AttemptRecord.model_validate_json(batch.entries[-1].text) == usage_record("c499")


async def test_no_records_are_kept_where_none_are_wanted(client: fakeredis.FakeAsyncRedis, reader: UsageReader) -> None:
    await settle(client, [usage_record("a")], records_kept=0)

    assert await client.exists(RECORDS_KEY) == 0
    assert reader.totals()[0].attempts == 1
