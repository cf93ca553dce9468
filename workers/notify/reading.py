"""Reads the events that are kept. Synchronous: commands use it."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, cast

import redis

from tasks.contract.events import Event
from workers.notify.events import EVENTS_KEY, JOB_EVENTS_KEY

_STREAMS: Final = (EVENTS_KEY, JOB_EVENTS_KEY)
#: Events of one read.
_PAGE: Final = 500
#: Milliseconds that one wait for more takes at most.
_WAIT: Final = 1_000

_Entry = tuple[bytes, dict[bytes, bytes]]


class EventReader:
    """Events of both streams, in the order in which they were kept."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        #: Stream → the last entry that was read of it.
        self._read: dict[str, bytes] = dict.fromkeys(_STREAMS, b"0-0")

    def kept(self, *, since: datetime | None = None) -> Iterator[Event]:
        """All that are kept, or those since an instant, the oldest first."""
        start = f"{round(since.timestamp() * 1000)}" if since else "-"
        entries = [self._entries(stream, start) for stream in _STREAMS]
        for _, _, event in heapq.merge(*entries, key=lambda entry: entry[:2]):
            yield event

    def follow(self, *, wanted: Callable[[], bool]) -> Iterator[Event]:
        """Those that come after what was read, as they come, for as long as they are wanted.

        Args:
            wanted: asked after each wait, every second or so.
        """
        while wanted():
            positions: dict[Any, Any] = dict(self._read)
            answer = cast("Iterable[tuple[bytes, list[_Entry]]]", self._client.xread(positions, block=_WAIT) or [])
            for stream, entries in answer:
                for entry_id, fields in entries:
                    self._read[stream.decode()] = entry_id
                    yield Event.model_validate_json(fields[b"event"])

    def _entries(self, stream: str, start: str) -> Iterator[tuple[int, int, Event]]:
        while True:
            page = cast("list[_Entry]", self._client.xrange(stream, min=start, count=_PAGE))
            for entry_id, fields in page:
                self._read[stream] = entry_id
                time, _, sequence = entry_id.decode().partition("-")
                yield int(time), int(sequence), Event.model_validate_json(fields[b"event"])
            if len(page) < _PAGE:
                return
            start = f"({self._read[stream].decode()}"
