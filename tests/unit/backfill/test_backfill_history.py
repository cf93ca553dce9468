"""What connections did of late is read from the newest usage records, each connection's own and nobody else's."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import fakeredis
import pytest

from config.connections import (
    EffectiveConnection,
    account_path,
    effective_chain,
    project_path,
    save_connection,
    save_project,
)
from config.store import MemoryStore
from tasks.contract import TokenUsage
from tests.ledger import NOW, usage_record
from workers.backfill.history import History, read_histories
from workers.ledger.stream import RECORDS_KEY, Cursor, RecordStream

#: 1,000 tokens of input and 100 of output.
USAGE = TokenUsage(input=800, cached_input=200, output=100)


@pytest.fixture
def client() -> Iterator[fakeredis.FakeRedis]:
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield client


def links(**project_fields: Any) -> list[EffectiveConnection]:
    """A primary of the account, and a fallback of the project."""
    store = MemoryStore()
    connection = {"provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    save_project(store, "acme", account="acme-inc")
    save_connection(store, account_path("acme-inc"), {**connection, "name": "primary"})
    if project_fields:
        save_connection(store, project_path("acme"), {"name": "primary", **project_fields})
    save_connection(store, project_path("acme"), {**connection, "name": "backup", "role": "fallback"})
    return effective_chain(store, "acme")


def publish(client: fakeredis.FakeRedis, *records: dict[str, Any]) -> None:
    for number, changes in enumerate(records):
        record = usage_record(f"r{number}", **{"tier": None, "usage": USAGE, **changes})
        client.xadd(RECORDS_KEY, {"record": record.model_dump_json(exclude_none=True)})


def read(client: fakeredis.FakeRedis, **project_fields: Any) -> tuple[History, History]:
    primary, backup = read_histories(RecordStream(client), links(**project_fields), now=NOW)
    return primary, backup


def test_without_records_nothing_is_known(client: fakeredis.FakeRedis) -> None:
    assert read(client) == (History(), History())


def test_each_connection_has_its_own_calls_the_newest_first(client: fakeredis.FakeRedis) -> None:
    publish(
        client,
        {"estimated_input": 1_300, "estimated_text": 100},
        {"connection": "backup"},
        {"estimated_input": 2_000, "estimated_text": 700, "packed": 8, "latency_ms": 1_500},
    )

    primary, backup = read(client)

    assert [(call.asked.text, call.asked.around, call.asked.episodes, call.seconds) for call in primary.calls] == [
        (700, 1_300, 8, 1.5),
        (100, 1_200, 1, 0.8),
    ]
    assert [call.input for call in primary.calls] == [1_000, 1_000]
    assert len(backup.calls) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"project": "initech"},
        {"model": "gpt-5.4-nano"},
        {"provider": "azure_openai"},
        {"account": "other"},
        # At another price, and in another time.
        {"tier": "batch"},
        # By an older worker.
        {"estimated_input": None},
        {"estimated_text": None},
        {"usage": TokenUsage(input=100)},
    ],
)
def test_calls_of_others_or_of_another_kind_say_nothing(client: fakeredis.FakeRedis, changes: dict[str, Any]) -> None:
    publish(client, changes)

    assert read(client)[0].calls == []


def test_of_a_sample_only_its_own_calls_count(client: fakeredis.FakeRedis) -> None:
    publish(client, {}, {"labels": {"backfill-sample": "s1"}}, {"labels": {"backfill-sample": "s2"}})

    of_sample, _ = read_histories(RecordStream(client), links(), now=NOW, sample="s1")

    assert len(of_sample.calls) == 1
    assert len(read(client)[0].calls) == 3


def test_what_was_paid_for_in_vain_is_counted(client: fakeredis.FakeRedis) -> None:
    publish(client, {}, {"status": "output_invalid"}, {"status": "output_invalid", "project": "initech"})

    primary, _ = read(client)

    assert (len(primary.calls), primary.wasted) == (1, 1_100)


def test_live_jobs_of_all_who_share_the_meter_are_averaged_over_the_last_minutes(client: fakeredis.FakeRedis) -> None:
    publish(
        client,
        {"started_at": NOW - timedelta(minutes=11)},
        {"started_at": NOW - timedelta(minutes=9)},
        {"started_at": NOW - timedelta(minutes=5), "project": "initech"},
        {"started_at": NOW - timedelta(minutes=1), "priority": "backfill"},
        {"started_at": NOW - timedelta(minutes=1), "connection": "backup", "project": "initech"},
    )

    primary, backup = read(client)

    assert (primary.live_requests, primary.live_input, primary.live_output) == (0.2, 200, 20)
    # The fallback is the project's own: what another project calls by this name is something else.
    assert backup.live_requests == 0


def test_a_project_with_limits_of_its_own_shares_with_nobody(client: fakeredis.FakeRedis) -> None:
    publish(
        client,
        {"started_at": NOW - timedelta(minutes=11)},
        {"started_at": NOW - timedelta(minutes=5), "project": "initech"},
    )

    assert read(client)[0].live_requests == 0.1
    assert read(client, rpm_capacity=60)[0].live_requests == 0


def test_records_of_less_than_a_minute_are_taken_for_a_minute(client: fakeredis.FakeRedis) -> None:
    publish(client, {"started_at": NOW - timedelta(seconds=1)})

    assert read(client)[0].live_requests == 1


def test_many_records_are_read_in_steps_and_enough_is_enough(
    client: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.backfill.history._ENOUGH", 7)
    monkeypatch.setattr("workers.ledger.stream._AT_ONCE", 3)
    publish(client, *({"estimated_text": number} for number in range(20)))

    primary, _ = read(client)

    assert [call.asked.text for call in primary.calls] == [19, 18, 17, 16, 15, 14, 13]


def test_the_newest_records_come_first_and_no_more_than_asked_for(
    client: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ledger.stream._AT_ONCE", 3)
    publish(client, *({} for _ in range(10)))
    stream = RecordStream(client)
    everything = [entry.id for entry in stream.read(Cursor(), count=99).entries][::-1]

    for count in (0, 1, 3, 4, 10, 99):
        assert [entry.id for entry in stream.newest(count=count)] == everything[:count]
