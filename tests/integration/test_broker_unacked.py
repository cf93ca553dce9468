"""What becomes of fetched messages: put back, renewed, swept; on a real Valkey, without Celery."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from tests.integration.support.inbox import INDEX, UNACKED, Inbox, age, connected, publish, sweep
from workers.broker.amqp import Connection
from workers.broker.crashes import crashes_of
from workers.broker.qos import QoS
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration


@pytest.fixture
def connection(valkey: EmbeddedValkey) -> Iterator[Connection]:
    with connected(valkey) as connection:
        yield connection


def test_a_requeued_message_goes_to_the_end_of_its_queue(connection: Connection) -> None:
    publish(connection, 1, 2)
    inbox = Inbox(connection, prefetch=1)
    inbox.drain(1)

    inbox.messages[0].reject(requeue=True)

    assert inbox.drain(1) == [1, 2]
    inbox.messages[1].ack()
    assert inbox.drain(1) == [1, 2, 1]


def test_closing_puts_everything_back_to_the_head(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1, 2, 3)
    inbox = Inbox(connection, prefetch=1)
    inbox.drain(1)

    inbox.channel.close()

    assert not valkey_client.exists(UNACKED, INDEX)
    again = Inbox(connection)
    assert again.drain(3) == [1, 2, 3]
    assert [message.delivery_info.get("redelivered", False) for message in again.messages] == [True, False, False]


def test_a_message_goes_back_to_the_queue_that_it_came_from(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1, queue="lane")
    valkey_client.rpoplpush("lane", "q")
    inbox = Inbox(connection)
    inbox.drain(1)

    inbox.messages[0].reject(requeue=True)

    assert (valkey_client.llen("q"), valkey_client.llen("lane")) == (1, 0)


def test_messages_of_a_dead_worker_come_back_marked_and_those_of_the_living_do_not(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, "dead", "alive")
    inbox = Inbox(connection)
    inbox.drain(2)
    for message in inbox.messages:
        age(valkey_client, message.delivery_tag, 61)
    inbox.qos._held.pop(inbox.messages[0].delivery_tag)
    assert inbox.qos.renew()

    sweep(inbox.qos)

    assert valkey_client.llen("q") == 1
    assert inbox.drain(1) == ["dead", "alive", "dead"]
    assert inbox.messages[2].delivery_info["redelivered"] is True


def test_a_message_that_was_renewed_since_the_sweep_looked_stays(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    tag = inbox.messages[0].delivery_tag
    age(valkey_client, tag, 61)
    unacked = inbox.channel.unacked
    (expired,) = unacked.expired(60)
    inbox.qos.renew()

    assert not unacked.restore(expired.tag, "{}", ["q"], end="head", unrenewed_for=60)
    assert valkey_client.hexists(UNACKED, tag)


def test_all_sweepers_together_put_a_message_back_once(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    with connected(valkey) as one, connected(valkey) as two:
        publish(one, *range(250))
        inbox = Inbox(one)
        inbox.drain(250)
        for message in inbox.messages:
            age(valkey_client, message.delivery_tag, 61)

        sweep(inbox.qos)
        sweep(Inbox(two).qos)

    assert valkey_client.llen("q") == 250


def test_nobody_is_taken_for_dead_right_after_connecting(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    age(valkey_client, inbox.messages[0].delivery_tag, 1_000)
    seconds = 0.0

    class Timed(QoS):
        clock = staticmethod(lambda: seconds)

    qos = Timed(inbox.channel)
    seconds = 14.9

    qos.restore_visible()
    assert not valkey_client.llen("q")
    seconds = 15.0
    qos.restore_visible()
    assert valkey_client.llen("q") == 1


def test_renewing_does_not_bring_back_what_was_acknowledged(connection: Connection, valkey_client: redis.Redis) -> None:
    publish(connection, 1)
    inbox = Inbox(connection)
    inbox.drain(1)
    tag = inbox.messages[0].delivery_tag
    inbox.messages[0].ack()

    inbox.channel.unacked.renew([tag])

    assert not valkey_client.exists(INDEX)


def test_a_message_that_is_held_for_ever_is_renewed_no_more(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    with connected(valkey, renewal_limit=0) as connection:
        publish(connection, 1)
        inbox = Inbox(connection)
        inbox.drain(1)
        age(valkey_client, inbox.messages[0].delivery_tag, 61)

        assert not inbox.qos.renew()
        sweep(inbox.qos)

        assert valkey_client.llen("q") == 1


def test_after_a_lost_connection_jobs_go_on_renewed_and_acknowledged(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, "running", "finished", "rejected", "dropped")
    inbox = Inbox(connection)
    inbox.drain(4)
    running, finished, rejected, dropped = inbox.messages
    inbox.messages.clear()

    cast("Any", connection).collect(socket_timeout=1)
    connection.close()

    assert not valkey_client.llen("q")
    finished.ack()
    rejected.reject(requeue=True)
    assert valkey_client.llen("q") == 1
    for message in (running, dropped):
        age(valkey_client, message.delivery_tag, 61)
    # Celery forgets the jobs that wait for their rate limit.
    forgotten = dropped.delivery_tag
    del dropped, message
    gc.collect()
    assert inbox.qos.renew()
    assert [one.tag for one in inbox.channel.unacked.expired(60)] == [forgotten]
    running.ack()
    assert not inbox.qos.renew()
    assert valkey_client.hkeys(UNACKED) == [forgotten.encode()]


def test_an_acknowledgement_that_redis_missed_is_sent_again_when_it_is_back(tmp_path: Path) -> None:
    with EmbeddedValkey(data_dir=tmp_path) as valkey, connected(valkey) as connection:
        publish(connection, 1)
        inbox = Inbox(connection)
        inbox.drain(1)
        valkey.kill()

        inbox.messages[0].ack()
        with pytest.raises(redis.ConnectionError):
            inbox.qos.renew()
        valkey.start()
        inbox.qos.renew()

        with redis.Redis.from_url(valkey.url) as client:
            assert not client.exists(UNACKED, INDEX, "q")


def test_only_a_worker_that_is_gone_is_counted_and_no_orderly_way_back(
    connection: Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, "m")
    inbox = Inbox(connection)
    inbox.drain(1)
    inbox.messages[0].reject(requeue=True)
    inbox.drain(1)
    inbox.channel.close()
    again = Inbox(connection)
    again.drain(1)
    assert crashes_of(again.messages[0].headers) == 0

    for crashes in (1, 2):
        message = again.messages[-1]
        age(valkey_client, message.delivery_tag, 61)
        again.qos._held.pop(message.delivery_tag)
        sweep(again.qos)
        again.drain(1)
        assert crashes_of(again.messages[-1].headers) == crashes
    # Nor does what is put back in good order forget.
    again.messages[-1].reject(requeue=True)
    again.drain(1)
    assert crashes_of(again.messages[-1].headers) == 2
