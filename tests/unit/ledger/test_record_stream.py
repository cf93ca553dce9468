"""Reading records in order, on a real server: what was dropped before it was read is told to the record."""

from typing import Any, cast

import redis

from workers.ledger.stream import RECORDS_KEY, Batch, Cursor, RecordStream


def write(client: redis.Redis, count: int) -> None:
    for _ in range(count):
        client.xadd(RECORDS_KEY, {"record": "{}"})


def begin_anew(client: redis.Redis) -> None:
    """Delete the stream; what comes next has another id than what was there, since ids tell milliseconds."""
    ((newest, _),) = cast("list[Any]", client.xrevrange(RECORDS_KEY, count=1))
    client.delete(RECORDS_KEY)
    while milliseconds(client) <= int(newest.partition(b"-")[0]):
        pass


def milliseconds(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return seconds * 1_000 + microseconds // 1_000


def read_all(stream: RecordStream, cursor: Cursor, *, count: int = 3) -> tuple[list[Batch], Cursor]:
    batches: list[Batch] = []
    while True:
        batch = stream.read(cursor, count=count)
        cursor = batch.cursor
        if batch.gap is None and not batch.entries:
            return batches, cursor
        batches.append(batch)


def told(batches: list[Batch]) -> tuple[int, list[int | None]]:
    """Records read, and the gaps among them."""
    return sum(len(batch.entries) for batch in batches), [batch.gap.missing for batch in batches if batch.gap]


def test_records_are_read_once_and_in_order(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 10)
    first, cursor = read_all(stream, Cursor())
    write(valkey_client, 5)
    second, cursor = read_all(stream, cursor)

    ids = [entry.id for batch in [*first, *second] for entry in batch.entries]
    assert ids == sorted(set(ids), key=lambda text: [int(part) for part in text.split("-")])
    assert (told(first), told(second), cursor.place) == ((10, []), (5, []), 15)


def test_what_was_dropped_before_it_was_read_is_counted(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 10)
    _, cursor = read_all(stream, Cursor())
    write(valkey_client, 20)
    valkey_client.xtrim(RECORDS_KEY, maxlen=8, approximate=False)

    batches, cursor = read_all(stream, cursor)

    assert (told(batches), cursor.place) == ((8, [12]), 30)
    assert batches[0].gap is not None
    assert "12 usage records" in batches[0].gap.message
    assert "BYOM_USAGE_RECORDS" in batches[0].gap.message


def test_a_single_record_that_was_dropped_is_a_gap(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 1)
    _, cursor = read_all(stream, Cursor())
    write(valkey_client, 5)
    valkey_client.xtrim(RECORDS_KEY, maxlen=4, approximate=False)

    assert told(read_all(stream, cursor)[0]) == (4, [1])


def test_dropping_exactly_what_was_read_is_no_gap(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 10)
    _, cursor = read_all(stream, Cursor())
    write(valkey_client, 5)
    valkey_client.xtrim(RECORDS_KEY, maxlen=5, approximate=False)

    assert told(read_all(stream, cursor)[0]) == (5, [])


def test_dropping_all_is_a_gap_too(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 2)
    _, cursor = read_all(stream, Cursor())
    write(valkey_client, 5)
    valkey_client.xtrim(RECORDS_KEY, maxlen=0, approximate=False)

    batches, cursor = read_all(stream, cursor)
    write(valkey_client, 1)

    assert told(batches) == (0, [5])
    assert told(read_all(stream, cursor)[0]) == (1, [])


def test_what_was_dropped_before_the_first_read_is_no_gap_but_told(valkey_client: redis.Redis) -> None:
    write(valkey_client, 10)
    valkey_client.xtrim(RECORDS_KEY, maxlen=4, approximate=False)

    batch = RecordStream(valkey_client).read(Cursor(), count=10)

    assert (len(batch.entries), batch.gap, batch.before_first, batch.cursor.place) == (4, None, 6, 10)


def test_a_reader_that_began_on_an_empty_stream_misses_what_is_dropped_later(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    cursor = stream.read(Cursor(), count=10).cursor
    write(valkey_client, 10)
    valkey_client.xtrim(RECORDS_KEY, maxlen=4, approximate=False)

    assert told(read_all(stream, cursor)[0]) == (4, [6])


def test_a_deleted_stream_is_a_gap_once(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 10)
    _, cursor = read_all(stream, Cursor())
    valkey_client.delete(RECORDS_KEY)

    batches, cursor = read_all(stream, cursor)
    assert told(batches) == (0, [None])
    write(valkey_client, 3)
    assert told(read_all(stream, cursor)[0]) == (3, [])


def test_a_stream_that_began_anew_is_a_gap_and_is_read_on(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 10)
    _, cursor = read_all(stream, Cursor())
    begin_anew(valkey_client)
    write(valkey_client, 7)

    batches, cursor = read_all(stream, cursor)

    assert (told(batches), cursor.place) == ((7, [None]), 7)
    assert batches[0].gap is not None
    assert "deleted or restored" in batches[0].gap.message


def test_a_stream_that_began_anew_and_grew_longer_is_still_not_the_same(valkey_client: redis.Redis) -> None:
    stream = RecordStream(valkey_client)
    write(valkey_client, 4)
    _, cursor = read_all(stream, Cursor())
    begin_anew(valkey_client)
    write(valkey_client, 9)

    assert told(read_all(stream, cursor)[0]) == (9, [None])
