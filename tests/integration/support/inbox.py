"""A consumer without Celery, and a look at what the transport keeps in Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import kombu
import redis

from workers.broker.amqp import Connection
from workers.broker.qos import QoS
from workers.embedded.valkey import EmbeddedValkey

UNACKED, INDEX, MALFORMED, WAKE = "byom.unacked", "byom.unacked_index", "byom.malformed", "byom.wake"


@contextmanager
def connected(valkey: EmbeddedValkey, **options: Any) -> Iterator[Connection]:
    with Connection(valkey.url, transport_options={"visibility_timeout": 60, **options}) as connection:
        yield connection


def publish(connection: kombu.Connection, *bodies: Any, queue: str = "q", **options: Any) -> None:
    producer = connection.Producer(serializer="json")
    for body in bodies:
        producer.publish(body, routing_key=queue, **options)


class Inbox:
    """Consumes on a channel of its own."""

    def __init__(self, connection: kombu.Connection, *queues: str, no_ack: bool = False, prefetch: int = 0) -> None:
        self.connection = connection
        self.channel = cast("Any", connection.channel())
        self.channel.basic_qos(prefetch_count=prefetch)
        self.messages: list[Any] = []
        consumer = kombu.Consumer(
            self.channel,
            [kombu.Queue(name, channel=self.channel) for name in queues or ("q",)],
            no_ack=no_ack,
            on_message=self.messages.append,
        )
        consumer.consume()

    def drain(self, count: int) -> list[Any]:
        """The bodies of all messages so far; waits for `count` more."""
        wanted = len(self.messages) + count
        while len(self.messages) < wanted:
            self.connection.drain_events(timeout=5)
        return [message.decode() for message in self.messages]

    @property
    def qos(self) -> QoS:
        return cast("QoS", self.channel.qos)


def now(client: redis.Redis) -> int:
    """The server's clock, by which everything goes."""
    seconds, _microseconds = client.time()
    return seconds


def age(client: redis.Redis, tag: str, seconds: float) -> None:
    """Make a message look as if nobody had renewed it for so long."""
    client.zadd(INDEX, {tag: now(client) - seconds})


def sweep(qos: QoS) -> None:
    """Look for expired messages, as if enough time had passed since the last look."""
    qos.clock = lambda: float("inf")
    qos.restore_visible()
