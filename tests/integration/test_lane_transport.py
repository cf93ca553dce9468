"""Messages on their way through lanes, as kombu publishes and consumes them; without Celery."""

import json
from collections.abc import Iterator
from typing import Any, cast

import kombu
import pytest
import redis

from tests.integration.support.inbox import INDEX, MALFORMED, UNACKED, Inbox, age, connected, publish, sweep
from workers.broker.amqp import Connection
from workers.broker.parked import Parked
from workers.embedded.valkey import EmbeddedValkey
from workers.lanes.control import Lanes
from workers.lanes.keys import LaneName

pytestmark = pytest.mark.integration

HEADER = {
    "meter": "/keys/main#m",
    "tenant": "p/acme",
    "project": "acme",
    "connection": "primary",
    "priority": "live",
    "input": 500,
    "calls": 1,
    "patience": 60.0,
    "fallback": False,
}
LANE = LaneName("q", "live", "p/acme", "/keys/main#m", "acme")


@pytest.fixture
def connection(valkey: EmbeddedValkey) -> Iterator[Connection]:
    with connected(valkey) as connection:
        yield connection


@pytest.fixture
def lanes(valkey_client: redis.Redis) -> Lanes:
    return Lanes(valkey_client)


def publish_to_lane(connection: kombu.Connection, *bodies: Any, **fields: Any) -> None:
    publish(connection, *bodies, headers={"byom": {**HEADER, **fields}})


def test_a_message_with_a_header_waits_in_its_lane_and_arrives_as_it_was(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes
) -> None:
    publish_to_lane(connection, {"said": "ü"})
    assert not valkey_client.exists("q")
    assert lanes.names() == [LANE]
    assert (lanes.waiting("acme"), lanes.jobs_in("q")) == (1, 1)

    inbox = Inbox(connection)

    assert inbox.drain(1) == [{"said": "ü"}]
    [message] = inbox.messages
    assert message.headers == {"byom": HEADER}
    assert message.told["reservation"] == f"fetch:{message.delivery_tag}"
    assert message.told["impatient"] is False
    assert message.told["since"] == pytest.approx(valkey_client.time()[0], abs=5)
    assert valkey_client.hkeys(UNACKED) == [message.delivery_tag.encode()]
    message.ack()
    assert not valkey_client.exists(UNACKED, INDEX)


def test_a_batch_goes_to_its_lanes_even_if_the_server_forgot_the_script(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes
) -> None:
    producer = connection.Producer(serializer="json")
    for _ in range(2):
        with cast("Any", producer).batch(4) as batch:
            for number in range(10):
                producer.publish(number, routing_key="q", headers={"byom": {**HEADER, "project": f"p{number % 2}"}})
            producer.publish("plain", routing_key="q")
            batch.flush()
        valkey_client.script_flush()

    assert (lanes.jobs_in("q"), valkey_client.llen("q")) == (20, 2)
    bodies = Inbox(connection).drain(22)
    assert bodies[:2] == ["plain", "plain"]
    # Two projects, in turn.
    assert sorted(bodies[2:]) == sorted([*range(10)] * 2)
    assert [body % 2 for body in bodies[2:]] == [0, 1] * 10


def test_an_idle_consumer_is_woken_by_what_comes_into_a_lane(valkey: EmbeddedValkey) -> None:
    with connected(valkey, idle_wait=30) as connection:
        inbox = Inbox(connection)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.05)
        publish_to_lane(connection, 1)

        assert inbox.drain(1) == [1]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"meter": ""}, id="no meter"),
        pytest.param({"meter": "a\tb"}, id="a tab in a name"),
        pytest.param({"tenant": "x}:other:{"}, id="a tenant that leads into other keys"),
        pytest.param({"project": 5}, id="a number for a project"),
        pytest.param({"project": "x" * 2_000}, id="an endless name"),
        pytest.param({"priority": "urgent"}, id="a class of its own"),
        pytest.param({"input": -1_000_000}, id="negative tokens"),
        pytest.param({"input": 1e308}, id="endless tokens"),
        pytest.param({"input": "500"}, id="tokens as text"),
        pytest.param({"calls": 0}, id="no calls"),
        pytest.param({"patience": float("nan")}, id="patience is no number"),
        pytest.param({"patience": -1}, id="negative patience"),
        pytest.param({"weight": 1e9}, id="a weight beyond bounds"),
        pytest.param({"weight": float("inf")}, id="an endless weight"),
        pytest.param({"fallback": "yes"}, id="text for a flag"),
    ],
)
def test_a_header_out_of_bounds_counts_as_none(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes, changes: dict[str, Any]
) -> None:
    publish_to_lane(connection, 1, **changes)

    assert lanes.names() == []
    assert valkey_client.llen("q") == 1
    inbox = Inbox(connection)
    assert inbox.drain(1) == [1]
    assert inbox.messages[0].told is None


@pytest.mark.parametrize("header", [None, 5, "x", [], {}, {"byom": HEADER}])
def test_a_header_of_another_shape_counts_as_none(connection: Connection, lanes: Lanes, header: Any) -> None:
    publish(connection, 1, headers={"byom": header})

    assert lanes.names() == []
    assert Inbox(connection).drain(1) == [1]


def test_no_producer_can_say_what_only_fetching_says(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1)
    raw = valkey_client.rpop("q")
    assert isinstance(raw, bytes)
    forged = {**json.loads(raw), "byom-fetched": {"queue": "x", "told": {"reservation": "mine"}}, "byom-since": "old"}
    valkey_client.lpush("q", json.dumps(forged))
    inbox = Inbox(connection)
    inbox.drain(1)

    assert inbox.messages[0].told is None
    inbox.messages[0].reject(requeue=True)
    assert inbox.drain(1) == [1, 1]


def test_a_parked_message_goes_back_to_its_lane_unmarked(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes
) -> None:
    publish_to_lane(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    [message] = inbox.messages
    before = message.told["since"]

    message.parked = Parked(seconds=60, reason="tokens")
    message.reject(requeue=True)

    assert not valkey_client.exists(UNACKED, INDEX, "q")
    assert lanes.waiting("acme") == 1
    assert not inbox.qos.renew()
    lanes.wake(reason="tokens")
    inbox.drain(1)
    again = inbox.messages[1]
    assert (again.body, again.told["since"]) == (message.body, before)
    assert not again.delivery_info.get("redelivered")


def test_a_message_without_a_lane_that_is_parked_goes_to_the_end_of_its_queue(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, 1, 2)
    inbox = Inbox(connection, prefetch=1)
    inbox.drain(1)

    inbox.messages[0].parked = Parked(seconds=60, reason="tokens")
    inbox.messages[0].reject(requeue=True)

    assert inbox.drain(1) == [1, 2]
    assert not valkey_client.exists(MALFORMED)


def test_a_message_is_parked_after_its_connection_was_lost(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes
) -> None:
    publish_to_lane(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    cast("Any", connection).collect(socket_timeout=1)
    connection.close()

    inbox.messages[0].parked = Parked(seconds=0, reason="tokens")
    inbox.messages[0].reject(requeue=True)

    assert not valkey_client.exists(UNACKED, INDEX)
    assert lanes.waiting("acme") == 1


def test_a_parked_message_that_redis_missed_comes_back_when_it_expires(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to_lane(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    [message] = inbox.messages

    def gone(*_args: Any, **_options: Any) -> bool:
        raise redis.ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(inbox.channel.unacked, "_park", gone)
        message.parked = Parked(seconds=60, reason="tokens")
        with pytest.raises(redis.ConnectionError):
            message.reject(requeue=True)

    assert valkey_client.hexists(UNACKED, message.delivery_tag)
    assert not inbox.qos.renew()
    age(valkey_client, message.delivery_tag, 61)
    sweep(inbox.qos)
    assert lanes.waiting("acme") == 1


def test_what_a_dead_worker_held_goes_back_to_its_lane_marked_and_with_its_time(
    connection: Connection, valkey_client: redis.Redis, lanes: Lanes
) -> None:
    publish_to_lane(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    [message] = inbox.messages
    age(valkey_client, message.delivery_tag, 61)

    sweep(inbox.qos)

    assert lanes.waiting("acme") == 1
    inbox.drain(1)
    again = inbox.messages[1]
    assert (again.told["since"], again.delivery_info["redelivered"]) == (message.told["since"], True)


def test_closing_puts_everything_back_to_the_lanes(connection: Connection, lanes: Lanes) -> None:
    publish_to_lane(connection, 1, 2, 3)
    inbox = Inbox(connection, prefetch=2)
    inbox.drain(2)

    inbox.channel.close()

    assert lanes.waiting("acme") == 3
    # Oldest first, but for those that went back: the last of them is the first.
    assert Inbox(connection).drain(3) == [2, 1, 3]


def test_a_queue_is_as_long_as_its_lanes_and_purging_empties_them(connection: Connection, lanes: Lanes) -> None:
    publish(connection, 0)
    publish_to_lane(connection, 1, 2)
    publish_to_lane(connection, 3, project="other")
    queue = kombu.Queue("q", channel=connection.channel())

    assert cast("Any", queue.queue_declare(passive=True)).message_count == 4
    assert queue.purge() == 4
    assert lanes.names() == []
    assert lanes.jobs_in("q") == 0


def test_a_stock_worker_on_the_queue_gets_what_is_in_no_lane(valkey: EmbeddedValkey, connection: Connection) -> None:
    publish_to_lane(connection, "laned")
    with kombu.Connection(valkey.url) as stock:
        # Stock producers know no lanes.
        publish_to_lane(stock, "from stock")
        inbox = Inbox(stock)
        assert inbox.drain(1) == ["from stock"]
        inbox.messages[0].ack()

    assert Inbox(connection).drain(1) == ["laned"]


def test_getting_one_message_looks_into_lanes_too(connection: Connection, valkey_client: redis.Redis) -> None:
    publish_to_lane(connection, 1, 2)
    channel = cast("Any", connection.channel())

    channel.basic_get("q").ack()

    assert channel.basic_get("q", no_ack=True).decode() == 2
    assert not valkey_client.exists(UNACKED, INDEX)
    assert channel.basic_get("q") is None


def test_what_nobody_will_acknowledge_is_not_registered(connection: Connection, valkey_client: redis.Redis) -> None:
    publish_to_lane(connection, 1)

    assert Inbox(connection, no_ack=True).drain(1) == [1]
    assert not valkey_client.exists(UNACKED, INDEX)


def test_a_message_in_a_lane_that_is_not_json_is_set_aside(connection: Connection, valkey_client: redis.Redis) -> None:
    publish_to_lane(connection, "good")
    valkey_client.rpush(LANE.jobs, "1 1 0 1 9 0 tag\n{not JSON")
    # As if it had been counted.
    valkey_client.hset(LANE.state, "head", "1 1 0 1 9 0 tag")

    assert Inbox(connection).drain(1) == ["good"]
    assert valkey_client.lrange(MALFORMED, 0, -1) == [b"{not JSON"]
    assert valkey_client.hlen(UNACKED) == 1
