"""Acknowledging, renewing and putting back, on top of kombu's Redis transport."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import redis
import structlog
from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from workers.broker.crashes import crashed_once_more
from workers.broker.parked import Collected, Parked
from workers.broker.unacked import Place, Unacked
from workers.lanes.header import is_of_session

#: Where an entry keeps since when its message waits: the time must outlive the worker that holds the message.
SINCE = "byom-since"

_log = structlog.get_logger(__name__)

#: Looks at the expired messages in one sweep. What is left waits for the next, so that the event loop goes on.
_ROUNDS = 10


class QoS(stock.QoS):
    """What one channel holds: fetched, and not acknowledged.

    Differs from kombu's in that fetching has registered the message already, that what is held is renewed, that an
    acknowledgement which could not be sent is sent later, and that every step back is one script.
    """

    #: Seconds, from anywhere. A test sets its own.
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._channel = cast("Any", self.channel)
        self._unacked: Unacked = self._channel.unacked
        self._held: dict[str, float] = {}
        #: Acknowledgements to be sent at the next turn of the event loop, and those that could not be sent.
        self._gathered: list[str] = []
        self._owed: set[str] = set()
        self._last: dict[str, weakref.ref[Any]] | None = None
        # After an outage the workers that live renew within moments; nobody is to be taken for dead before that.
        self._sweep_at = self.clock() + self._channel.renewal_interval

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message that fetching has registered."""
        virtual.QoS.append(self, message, delivery_tag)
        self._held[delivery_tag] = self.clock()

    def ack(self, delivery_tag: str) -> None:
        """Forget a message. While Redis cannot be reached this is kept for later: see `renew`.

        Where an event loop looks after the connection, what is acknowledged in one of its turns is sent together.
        """
        self._held.pop(delivery_tag, None)
        self._gathered.append(delivery_tag)
        if self._last is not None or not getattr(self._channel.connection, "has_loop", False):
            self.settle()
        virtual.QoS.ack(self, delivery_tag)

    def settle(self) -> None:
        """Send the acknowledgements that have gathered."""
        if not self._gathered:
            return
        tags, self._gathered = self._gathered, []
        try:
            self._unacked.settle(tags)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self._owed.update(tags)
            _log.warning("an acknowledgement waits for Redis to come back", error=type(error).__name__)

    def take_gathered(self) -> list[str]:
        """What has gathered of messages that are of no session, for a caller who sends it; owed until `settled`."""
        tags = [tag for tag in self._gathered if not is_of_session(tag)]
        self._owed.update(tags)
        self._gathered = [tag for tag in self._gathered if is_of_session(tag)]
        return tags

    def settled(self, tags: Sequence[str]) -> None:
        """Acknowledgements were sent."""
        self._owed.difference_update(tags)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Put a message at the end of its queue, or forget it."""
        if requeue:
            self._held.pop(delivery_tag, None)
            self.restore_by_tag(delivery_tag, leftmost=True)
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def park(self, delivery_tag: str, parked: Parked, place: Place | None) -> None:
        """Put a message back to the head of its lane, and let the lane wait.

        One that belongs in no lane goes to the end of its queue. While Redis cannot be reached the message stays
        registered, without being renewed: then it comes back when it expires.
        """
        self._held.pop(delivery_tag, None)
        if place is not None and self._unacked.park(delivery_tag, place, parked):
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.reject(delivery_tag, requeue=True)

    def collect(self, delivery_tag: str, collected: Collected, place: Place | None, *, queue: str) -> None:
        """Move a message to the pool of those that wait for a batch; else as `park`."""
        self._held.pop(delivery_tag, None)
        if self._unacked.collect(delivery_tag, collected, place, queue=queue):
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.reject(delivery_tag, requeue=True)

    def renew(self) -> bool:
        """Renew what is held and send the acknowledgements that are owed; False when there is neither.

        Called from a thread of its own. What is held for longer than the limit is not renewed: whatever holds it has
        got stuck.
        """
        owed = list(self._owed)
        if owed:
            self._unacked.settle(owed)
            self._owed.difference_update(owed)
        oldest = self.clock() - self._channel.renewal_limit
        held = [tag for tag, since in list(self._held.items()) if since > oldest and self._is_wanted(tag)]
        if held:
            self._unacked.renew(held)
        return bool(held or self._owed or self._gathered)

    def outlive_channel(self) -> None:
        """From now on hold a message only as long as somebody else has it, too.

        When a connection is lost, Celery lets running jobs run on and drops those that wait for their rate limit.
        """
        delivered = cast("dict[str, Any]", self._delivered)
        self._last = {tag: weakref.ref(message) for tag, message in delivered.items()}
        delivered.clear()
        self._owed.update(self._gathered)
        self._gathered = []
        self.restore_unacked_once()

    def restore_unacked(self, client: Any | None = None) -> None:  # noqa: ARG002 - kombu's signature
        """Put everything that is held back to the head of its queues."""
        delivered = cast("dict[str, Any]", self._delivered)
        for tag in list(delivered):
            self.restore_by_tag(tag)
        delivered.clear()
        self._held.clear()

    def restore_by_tag(self, tag: str, client: Any | None = None, leftmost: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - kombu's signature
        """Put one message back."""
        entry = self._unacked.entry(tag)
        if entry is not None:
            self._restore(tag, entry, end="tail" if leftmost else "head")

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:  # noqa: ARG002 - kombu's signature
        """Put back the messages of workers that died, if it is time to look for them."""
        now = self.clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._channel.unacked_restore_interval
        timeout = float(self.visibility_timeout)
        restored = 0
        for _ in range(_ROUNDS):
            expired = list(self._unacked.expired(timeout))
            if not expired:
                break
            restored += sum(self._restore(one.tag, one.entry, end="head", unrenewed_for=timeout) for one in expired)
        if restored:
            _log.warning("messages of a worker that is gone were put back", messages=restored, unrenewed_for=timeout)

    def _is_wanted(self, tag: str) -> bool:
        if self._last is None:
            return True
        message = self._last.get(tag)
        return message is not None and message() is not None

    def _restore(
        self, tag: str, entry: bytes, *, end: Literal["head", "tail"], unrenewed_for: float | None = None
    ) -> bool:
        try:
            message, exchange, routing_key = loads(entry)
            since = message.pop(SINCE, None)
            _mark_redelivered(message)
            if unrenewed_for is not None:
                # Whoever had it is gone, and may have died of it.
                message["headers"] = crashed_once_more(message["headers"])
            # A queue that was unbound meanwhile is no reason to lose what came from it.
            queues = self._channel._lookup(exchange, routing_key) or [routing_key]  # noqa: SLF001 - a part of the channel
            priority = self._channel._get_message_priority(message)  # noqa: SLF001 - as above
            keys = [self._channel._q_for_pri(queue, priority) for queue in queues]  # noqa: SLF001 - as above
            place = Place.of(message, queue=queues[0], since=since) if len(queues) == 1 else None
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            _log.error("a message could not be put back and was set aside", tag=tag, error=type(error).__name__)
            self._unacked.quarantine(tag, entry)
            return False
        return self._unacked.restore(tag, dumps(message), keys, end=end, place=place, unrenewed_for=unrenewed_for)


def _mark_redelivered(message: dict[str, Any]) -> None:
    """As kombu does: Celery asks whether a redelivered job has a result already."""
    properties = message["properties"]
    message["headers"] = {**(message.get("headers") or {}), "redelivered": True}
    properties["delivery_info"] = {**(properties.get("delivery_info") or {}), "redelivered": True}
