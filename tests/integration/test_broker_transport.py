"""Fetching and publishing through the transport on a real Valkey, without Celery."""

import json
from collections.abc import Iterator
from queue import Empty
from typing import Any, cast

import kombu
import pytest
import redis
from kombu.transport.redis import QoS as StockQoS

from tests.integration.support.broker import wait_until
from tests.integration.support.inbox import INDEX, MALFORMED, UNACKED, WAKE, Inbox, connected, now, publish, sweep
from workers.broker.amqp import Connection
from workers.broker.transport import Channel
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration


@pytest.fixture
def connection(valkey: EmbeddedValkey) -> Iterator[Connection]:
    with connected(valkey) as connection:
        yield connection


def test_a_fetched_message_is_registered_until_it_is_acknowledged(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, {"n": 1})
    raw = valkey_client.lindex("q", 0)
    assert isinstance(raw, bytes)
    inbox = Inbox(connection)

    assert inbox.drain(1) == [{"n": 1}]

    tag = inbox.messages[0].delivery_tag
    assert valkey_client.hgetall(UNACKED) == {tag.encode(): b"[" + raw + b', "", "q"]'}
    score = valkey_client.zscore(INDEX, tag)
    assert score is not None
    assert abs(score - now(valkey_client)) < 5
    inbox.messages[0].ack()
    assert not valkey_client.exists(UNACKED, INDEX, "q")


def test_a_message_is_registered_even_if_the_consumer_dies_before_it_hears_of_it(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    inbox = Inbox(connection)
    publish(connection, {"n": 1})

    # The fetch is sent; its answer meets a closed connection.
    cast("Any", connection.transport).cycle.on_poll_start()
    inbox.channel.client.connection.disconnect()

    wait_until(lambda: not valkey_client.exists("q"))
    assert valkey_client.hlen(UNACKED) == valkey_client.zcard(INDEX) == 1


def test_unicode_and_big_numbers_pass_unchanged(connection: Connection, valkey_client: redis.Redis) -> None:
    body = {"text": 'Zoë 🚀 \u0000 " \\ /', "number": 12345678901234567890, "float": 0.1, "empty": [], "none": None}
    publish(connection, body, headers={"x": "ü/\\", "empty": {}})
    inbox = Inbox(connection)
    inbox.drain(1)
    inbox.messages[0].reject(requeue=True)

    assert inbox.drain(1) == [body, body]
    assert inbox.messages[1].headers == {"x": "ü/\\", "empty": {}, "redelivered": True}


def test_stock_producers_and_consumers_share_the_queues(valkey: EmbeddedValkey, connection: Connection) -> None:
    with kombu.Connection(valkey.url) as stock:
        publish(stock, "from stock")
        assert Inbox(connection).drain(1) == ["from stock"]
        publish(connection, "from us", queue="r")
        assert Inbox(stock, "r").drain(1) == ["from us"]


def test_a_stock_worker_can_put_back_what_we_registered(valkey: EmbeddedValkey, connection: Connection) -> None:
    publish(connection, {"n": 1})
    inbox = Inbox(connection)
    inbox.drain(1)

    with kombu.Connection(valkey.url, transport_options={"unacked_key": UNACKED, "unacked_index_key": INDEX}) as stock:
        StockQoS(stock.channel()).restore_by_tag(inbox.messages[0].delivery_tag)

        assert Inbox(stock).drain(1) == [{"n": 1}]


def test_other_applications_unacknowledged_messages_are_left_alone(
    valkey: EmbeddedValkey, connection: Connection, valkey_client: redis.Redis
) -> None:
    with kombu.Connection(valkey.url) as stock:
        publish(stock, 1, queue="theirs")
        theirs = Inbox(stock, "theirs")
        theirs.drain(1)
        tag = theirs.messages[0].delivery_tag
        valkey_client.zadd("unacked_index", {tag: 1})

        sweep(Inbox(connection).qos)

        assert valkey_client.hexists("unacked", tag)


def test_what_nobody_will_acknowledge_is_not_registered(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1, 2)

    assert Inbox(connection, no_ack=True).drain(2) == [1, 2]
    assert not valkey_client.exists(UNACKED, INDEX)


def test_getting_one_message_registers_it_too(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1, 2)
    channel = cast("Any", connection.channel())

    first = channel.basic_get("q")
    assert valkey_client.hkeys(UNACKED) == [first.delivery_tag.encode()]
    first.ack()
    assert channel.basic_get("q", no_ack=True).decode() == 2
    assert not valkey_client.exists(UNACKED, INDEX)
    assert channel.basic_get("q") is None


def test_priority_steps_are_honoured(connection: Connection) -> None:
    for priority in (9, 6, 0, 3):
        publish(connection, priority, priority=priority)

    assert Inbox(connection).drain(4) == [0, 3, 6, 9]


def test_queues_take_turns(connection: Connection) -> None:
    for queue in ("a", "b", "c"):
        publish(connection, *(f"{queue}{n}" for n in range(3)), queue=queue)

    bodies = Inbox(connection, "a", "b", "c").drain(9)

    assert [sorted(body[0] for body in bodies[at : at + 3]) for at in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_no_more_is_fetched_than_may_be_held(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, *range(5))
    inbox = Inbox(connection, prefetch=2)
    inbox.drain(2)

    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.3)
    assert valkey_client.llen("q") == 3

    inbox.messages[0].ack()
    assert inbox.drain(1) == [0, 1, 2]


def test_a_server_that_forgot_the_scripts_is_told_again(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)

    for _ in range(3):
        valkey_client.script_flush()
        publish(connection, 2)
        inbox.drain(1)
        valkey_client.script_flush()
        inbox.messages[-1].ack()

    assert len(valkey_client.hkeys(UNACKED)) == 1


def test_an_idle_consumer_is_woken_by_our_producers_and_hears_of_others_soon(
    valkey: EmbeddedValkey, valkey_client: redis.Redis
) -> None:
    with connected(valkey, idle_wait=30) as connection:
        inbox = Inbox(connection)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.05)
        # It now waits for half a minute, unless it is woken.
        publish(connection, 1)

        assert inbox.drain(1) == [1]
        inbox.messages[0].ack()

    with connected(valkey, idle_wait=0.05) as connection:
        inbox = Inbox(connection)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.01)
        with kombu.Connection(valkey.url) as stock:
            publish(stock, 2)

        assert inbox.drain(1) == [2]


def test_the_wake_up_call_is_never_more_than_one(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, *range(10))

    assert valkey_client.llen(WAKE) == 1


def test_an_answer_that_comes_too_late_for_whoever_asked_does_not_stay_for_ever(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, "pong", queue="e8b567d4.reply.celery.pidbox")
    publish(connection, "job")

    assert 0 < valkey_client.ttl("e8b567d4.reply.celery.pidbox") <= 30
    assert valkey_client.ttl("q") == -1


def test_a_batch_is_published_whole(connection: Connection) -> None:
    producer = connection.Producer(serializer="json")
    with cast("Any", producer).batch(100):
        for n in range(10):
            producer.publish(n, routing_key="q")

    assert Inbox(connection).drain(10) == list(range(10))


GOOD = {
    "body": "MQ==",
    "headers": {},
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "properties": {"delivery_tag": "t", "body_encoding": "base64", "delivery_info": {}},
}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="deeply nested"),
        pytest.param(json.dumps(GOOD | {"properties": 5}).encode(), id="odd properties"),
        pytest.param(json.dumps(GOOD | {"properties": {}}).encode(), id="no tag"),
        pytest.param(json.dumps(GOOD | {"properties": {"delivery_tag": 5}}).encode(), id="a number for a tag"),
        pytest.param(json.dumps(GOOD | {"headers": [1]}).encode(), id="odd headers"),
        pytest.param(json.dumps(GOOD | {"body": "A"}).encode(), id="body is not base64"),
        pytest.param(json.dumps(GOOD | {"body": 5}).encode(), id="body is a number"),
        pytest.param(
            json.dumps(GOOD | {"properties": {**GOOD["properties"], "body_encoding": "rot13"}}).encode(),  # type: ignore[dict-item]
            id="unknown encoding",
        ),
        pytest.param(
            json.dumps(GOOD | {"properties": {**GOOD["properties"], "delivery_info": [1]}}).encode(),  # type: ignore[dict-item]
            id="odd delivery info",
        ),
        pytest.param(json.dumps(GOOD).replace('"MQ=="', "0x10").encode(), id="JSON for Lua only"),
    ],
)
def test_what_is_no_message_is_set_aside_and_the_next_is_delivered(
    connection: Connection, valkey_client: redis.Redis, raw: bytes
) -> None:
    valkey_client.lpush("q", raw)
    publish(connection, "good")

    assert Inbox(connection).drain(1) == ["good"]
    assert valkey_client.lrange(MALFORMED, 0, -1) == [raw]
    assert valkey_client.hlen(UNACKED) == valkey_client.zcard(INDEX) == 1


def test_a_message_without_delivery_info_or_headers_is_good_enough(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    properties = {"delivery_tag": "t", "body_encoding": "base64"}
    bare = {"body": "MQ==", "content-type": "application/json", "content-encoding": "utf-8", "properties": properties}
    valkey_client.lpush("q", json.dumps(bare))
    inbox = Inbox(connection)
    inbox.drain(1)

    inbox.messages[0].reject(requeue=True)

    assert inbox.drain(1) == [1, 1]
    assert inbox.messages[1].delivery_info == {"redelivered": True}


def test_a_full_broker_can_still_be_emptied(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1, 2)
    inbox = Inbox(connection, prefetch=1)
    valkey_client.config_set("maxmemory", 1)
    try:
        inbox.drain(1)
        inbox.qos.renew()
        inbox.messages[0].reject(requeue=True)
        inbox.drain(1)
        inbox.messages[1].ack()
    finally:
        valkey_client.config_set("maxmemory", 0)

    assert valkey_client.llen("q") == 1
    assert not valkey_client.exists(UNACKED)


@pytest.mark.parametrize("options", [{"global_keyprefix": "x"}, {"ack_emulation": False}])
def test_options_that_would_break_it_are_refused(valkey: EmbeddedValkey, options: dict[str, Any]) -> None:
    with connected(valkey, **options) as connection, pytest.raises(ValueError, match="not supported"):
        connection.channel()


def test_pooled_connections_use_the_transport_too(connection: Connection) -> None:
    pool = connection.Pool(limit=2)
    with pool.acquire(block=True) as pooled:
        assert isinstance(pooled.default_channel, Channel)
    cast("Any", pool).force_close_all()


def test_an_empty_queue_raises_nothing_but_empty(connection: Connection) -> None:
    with pytest.raises(Empty):
        cast("Any", connection.channel())._get("q")
