"""A message as the transport delivers it: read once, and given back to where it belongs."""

from dataclasses import dataclass
from typing import Any, cast

from kombu.transport import virtual

from workers.broker.parked import Collected, Parked
from workers.broker.qos import QoS
from workers.broker.unacked import Place


class Malformed(Exception):
    """What a producer published is not a kombu message."""


def _require_objects(*values: Any) -> None:
    if not all(isinstance(value, dict) for value in values):
        raise TypeError


#: Where the payload of a message holds what fetching told of it: a `Fetched`, which no JSON can pass for.
FETCHED = "byom-fetched"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where a message was fetched from, and what the broker said of it; nothing of a broadcast."""

    queue: str
    told: dict[str, Any] | None


_NOT_FETCHED = Fetched("", None)


class Message(virtual.Message):
    """A message; whatever keeps kombu from reading it is one error."""

    #: Set before it is rejected: it goes back to the head of its lane, or into the pool of those that wait for a batch.
    parked: Parked | Collected | None = None

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **kwargs)
            _require_objects(self.headers, self.delivery_info)
            fetched = payload.get(FETCHED)
            if not isinstance(fetched, Fetched):
                fetched = _NOT_FETCHED
            #: `since`, `reservation` and `impatient`, of one from a lane.
            self.told = fetched.told
            self._came_from = fetched.queue
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Malformed(type(error).__name__) from None

    @property
    def came_from(self) -> str:
        """The queue that it was fetched from, whatever it says itself; empty for a broadcast."""
        return self._came_from

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give the message back; to its lane if it was parked, to the pool if it was collected."""
        if self.parked is None or not requeue or self.acknowledged:
            super().reject(requeue=requeue)
            return
        qos = cast("Any", self.channel).qos
        place = Place.of({"headers": self.headers, "properties": self.properties}, queue=self._came_from)
        tag = cast("str", self.delivery_tag)
        if isinstance(self.parked, Collected):
            cast("QoS", qos).collect(tag, self.parked, place, queue=self._came_from)
        else:
            cast("QoS", qos).park(tag, self.parked, place)
        self._state = "REJECTED"
