"""Celery's consumer, made to keep message bodies out of the log and to send events by the hundred.

Celery prints the body of a message that it cannot take in: unknown task, wrong arguments, broken encoding. On these
queues the body is what a customer said.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.states import FAILURE
from celery.worker.consumer import Consumer as StockConsumer
from kombu.exceptions import DecodeError

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ProviderKind, provider_task
from workers.broker.describe import UNREADABLE
from workers.broker.redaction import is_id

#: What Celery needs of the headers to say which task failed.
_NEEDED = ("id", "task", "root_id")

#: The steps of a job inside the pool. Whoever may write to the entry queue alone is not to begin with them, past the
#: examination of the job and with a place in the lanes that it chose itself.
_INTERNAL = frozenset(map(provider_task, ProviderKind))
_NOT_HERE = f"a step inside the pool is not taken from queue '{ENTRY_QUEUE}'; send {EXTRACT_TASK}"

#: Seconds that events of tasks gather before they are sent, and how many at most. Celery sends them at once, one or two
#: at a time, which costs more than all else that it does for a task; Flower reads large batches faster too.
_EVENTS_GATHER = 0.2
_EVENTS_AT_ONCE = 200


class Consumer(StockConsumer):
    """Reports messages by id and task name only, and drops what is no task message at all."""

    # Celery's own, which its type stubs leave out.
    event_dispatcher: Any
    _flush_events: Callable[[], None]

    def register_with_event_loop(self, hub: Any) -> None:
        """Begin to send events."""
        super().register_with_event_loop(hub)
        self.event_dispatcher.buffer_limit = _EVENTS_AT_ONCE
        hub.call_repeatedly(_EVENTS_GATHER, self._flush_events)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs take it for a property
        """An event was made; it is sent with the others."""

    def stop(self) -> None:
        """Stop; the last events go out before."""
        self._flush_events()
        super().stop()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """The callback for messages."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> Any:
            if _is_task(message):
                if getattr(message, "came_from", "") == ENTRY_QUEUE and message.headers.get("task") in _INTERNAL:
                    return self.on_invalid_task(None, message, InvalidTaskError(_NOT_HERE))
                return handle(message)
            return self.on_unknown_message(None, message)

        return on_message

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """The message names no task."""
        super().on_unknown_message(None, _bare(message, body))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message names a task that is not here."""
        super().on_unknown_task(None, _bare(message, body), exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message cannot be run. Whoever waits for its result learns that it failed."""
        bare = _bare(message, body)
        super().on_invalid_task(None, bare, exc)
        if is_id(bare.headers.get("id")):
            self.app.backend.store_result(bare.headers["id"], exc, FAILURE)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body cannot be read. The error may quote it, so only its class is told."""
        super().on_decode_error(_bare(message, None), DecodeError(type(exc).__name__))


def _is_task(message: Any) -> bool:
    if not isinstance(message.headers.get("task", ""), str):
        return False
    try:
        return isinstance(message.payload, list | tuple | dict)
    except Exception:  # noqa: BLE001 - unreadable in any way; the handler has its own way of saying so
        return True


def _bare(message: Any, body: Any) -> Any:
    """A copy that acknowledges the same delivery and holds nothing that was said."""
    # The old protocol has them in the body.
    told = {**(body if isinstance(body, Mapping) else {}), **message.headers}
    names = {name: told[name] if is_id(told[name]) else UNREADABLE for name in _NEEDED if told.get(name)}
    bare = copy.copy(message)
    bare.headers = names
    bare.body = b""
    bare._decoded_cache = names  # noqa: SLF001 - where kombu keeps the decoded body
    return bare
