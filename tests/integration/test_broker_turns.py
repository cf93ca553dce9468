"""What an event loop's turns gather: several messages to a fetch, and acknowledgements that go along with one."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import kombu
import pytest
import redis
from kombu.asynchronous import Hub

from tests.integration.support.broker import wait_until
from tests.integration.support.inbox import INDEX, UNACKED, Inbox, connected, publish
from workers.embedded.valkey import EmbeddedValkey


class Turning:
    """A consumer that an event loop looks after; it turns only when it is told to."""

    def __init__(self, connection: kombu.Connection, *queues: str, **options: Any) -> None:
        self.inbox = Inbox(connection, *queues, **options)
        self._hub = Hub()
        cast("Any", connection).register_with_event_loop(self._hub)
        self._loop = self._hub.create_loop()

    def turn_until(self, done: Callable[[], bool]) -> None:
        def turn() -> bool:
            if done():
                return True
            next(self._loop)
            return False

        wait_until(turn)

    def drain(self, count: int) -> list[Any]:
        self.turn_until(lambda: len(self.inbox.messages) >= count)
        return [message.decode() for message in self.inbox.messages]

    def close(self) -> None:
        self._hub.close()


@pytest.fixture
def connection(valkey: EmbeddedValkey) -> Iterator[kombu.Connection]:
    with connected(valkey, idle_wait=0.05) as connection:
        yield connection


def held(client: redis.Redis) -> int:
    assert client.hlen(UNACKED) == client.zcard(INDEX)
    return int(client.hlen(UNACKED))


def scripts(client: redis.Redis) -> int:
    """Scripts that ran so far."""
    told: dict[str, Any] = client.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def test_one_fetch_brings_several_in_turn_of_their_queues(
    connection: kombu.Connection, valkey_client: redis.Redis
) -> None:
    turning = Turning(connection, "a", "b")
    publish(connection, "a1", "a2", "a3", queue="a")
    publish(connection, "b1", "b2", "b3", queue="b")
    before = scripts(valkey_client)

    found = turning.drain(6)

    assert {"".join(sorted(body[0] for body in found[at : at + 2])) for at in (0, 2, 4)} == {"ab"}
    # The one that brought them, and others at most that found nothing.
    assert scripts(valkey_client) - before < 6
    turning.close()


def test_no_more_is_fetched_than_there_are_places(connection: kombu.Connection, valkey_client: redis.Redis) -> None:
    publish(connection, *range(9))
    turning = Turning(connection, prefetch=3)
    turning.drain(3)
    assert (len(turning.inbox.messages), valkey_client.llen("q"), held(valkey_client)) == (3, 6, 3)

    turning.inbox.messages[0].ack()
    turning.inbox.messages[1].ack()
    turning.drain(5)

    assert (len(turning.inbox.messages), valkey_client.llen("q"), held(valkey_client)) == (5, 4, 3)
    turning.close()


def test_acknowledgements_go_with_the_next_turn(connection: kombu.Connection, valkey_client: redis.Redis) -> None:
    publish(connection, *range(5))
    turning = Turning(connection, prefetch=5)
    turning.drain(5)
    before = scripts(valkey_client)

    for message in turning.inbox.messages:
        message.ack()
    assert held(valkey_client) == 5
    turning.turn_until(lambda: held(valkey_client) == 0)

    # One for all five, and the fetch that it went with, or that came after it.
    after = scripts(valkey_client)
    assert after - before <= 3
    turning.turn_until(lambda: scripts(valkey_client) > after)
    # Nothing is left to be sent again.
    after = scripts(valkey_client)
    assert not turning.inbox.qos.renew()
    assert scripts(valkey_client) == after
    turning.close()


def test_a_message_that_cannot_be_taken_in_leaves_the_others_of_its_fetch_in_good_hands(
    connection: kombu.Connection, valkey_client: redis.Redis
) -> None:
    turning = Turning(connection)
    taken: list[Any] = []

    def take(message: Any) -> None:
        if message.decode() == 1:
            raise RuntimeError("what a bug in the consumer would be")
        taken.append(message)

    cast("Any", connection.transport)._callbacks["q"] = lambda message: take(
        turning.inbox.channel.Message(message, channel=turning.inbox.channel)
    )
    publish(connection, 1, 2, 3)

    with pytest.raises(RuntimeError, match="a bug"):
        turning.turn_until(lambda: len(taken) >= 2)

    assert [message.decode() for message in taken] == [2, 3]
    assert held(valkey_client) == 3
    turning.close()


def test_a_connection_that_closes_sends_what_has_gathered(valkey: EmbeddedValkey, valkey_client: redis.Redis) -> None:
    with connected(valkey) as connection:
        publish(connection, 1, 2)
        turning = Turning(connection, prefetch=2)
        turning.drain(2)
        turning.inbox.messages[0].ack()
        turning.close()

    # The other one is back.
    assert (valkey_client.llen("q"), held(valkey_client)) == (1, 0)


def test_what_had_gathered_when_the_connection_was_lost_is_sent_later(
    connection: kombu.Connection, valkey_client: redis.Redis
) -> None:
    publish(connection, 1, 2)
    turning = Turning(connection, prefetch=2)
    turning.drain(2)
    first, second = turning.inbox.messages
    first.ack()
    qos = turning.inbox.qos

    cast("Any", connection).collect(socket_timeout=1)

    assert held(valkey_client) == 2
    qos.renew()
    assert held(valkey_client) == 1
    second.ack()
    assert held(valkey_client) == 0
    turning.close()
