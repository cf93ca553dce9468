"""Keeps what customers said out of everything that Celery shows of a task.

A foreign producer's Celery writes the repr of the whole job into the message headers, and Celery passes those on to
events, Flower, `inspect` and logs. The worker therefore replaces them when it takes a message in, and refuses
messages whose headers cannot be shown.
"""

from collections.abc import Mapping
from typing import Any

from celery import Task
from celery.exceptions import InvalidTaskError, Reject
from celery.worker import request as stock

from workers.broker.crashes import crashes_of
from workers.broker.describe import UNREADABLE, describe
from workers.broker.parked import Collected, Parked
from workers.lanes.header import HEADER

#: Characters of an id; ids travel in every event.
_ID_CHARS = 255


class Request(stock.Request):
    """A task as the worker knows it, with reprs of its own making."""

    _argsrepr: str
    _kwargsrepr: str
    _body: Any
    _content_type: str | None
    _content_encoding: str | None
    _payload: Any

    def __init__(self, message: Any, *, headers: dict[str, Any] | None = None, **options: Any) -> None:
        """Take a message in.

        Raises:
            InvalidTaskError: Celery could not run it; the worker then drops it instead of failing over it.
        """
        try:
            super().__init__(message, headers=_showable(message.headers if headers is None else headers), **options)
            _require_runnable(self.args, self.kwargs, self._payload[2], self.time_limits)
        except (AttributeError, InvalidTaskError, KeyError, TypeError, ValueError) as error:
            found = message.headers.get("id")
            named = found if is_id(found) else UNREADABLE
            raise InvalidTaskError(f"message '{named}' cannot be run as a task ({type(error).__name__})") from None
        # It was read to look into it; whoever runs the task need not read it again.
        self._body, self._content_type, self._content_encoding = self._payload, None, None
        self._argsrepr = "()"
        self._kwargsrepr = describe(self.type, self.id, self.args, self.kwargs)
        self.request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr, hostname=options.get("hostname"))
        # In place of what the producer wrote there: what the broker says of this delivery.
        told = getattr(message, "told", None)
        crashes = crashes_of(message.headers)
        if told:
            told = {**told, "redelivered": bool(self.delivery_info["redelivered"])}
        self.request_dict[HEADER] = {**(told or {}), "crashes": crashes} if crashes else told

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> None:
        """The task did not return; one that parked its job goes back to its lane, or into the pool."""
        # Celery wraps what was raised, for pools that send it from process to process.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        reason = getattr(error, "reason", None) if isinstance(error, Reject) else None
        if isinstance(reason, Parked | Collected):
            self.message.parked = reason
        super().on_failure(exc_info, *args, **kwargs)

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """What `inspect` tells; always the reprs, asked for or not."""
        return super().info(safe=True)


class ByomTask(Task[Any, Any]):
    """Base of all tasks of the pool."""

    abstract = True
    Request = "workers.broker.redaction:Request"


def _showable(headers: dict[str, Any]) -> dict[str, Any]:
    """Headers without the producer's reprs, and without a name or ids that could carry text."""
    if not is_id(headers["id"]):
        raise ValueError
    family = {name: headers.get(name) if is_id(headers.get(name)) else None for name in ("root_id", "parent_id")}
    return {**headers, **family, "argsrepr": "()", "kwargsrepr": "{}", "shadow": None}


def is_id(value: Any) -> bool:
    """Whether a header can be shown as an id or a name."""
    return isinstance(value, str) and 0 < len(value) <= _ID_CHARS


def _require_runnable(args: Any, kwargs: Any, embedded: Any, time_limits: Any) -> None:
    """Refuse what Celery would only stumble over in the thread that runs it, where nobody acknowledges."""
    _soft, _hard = time_limits
    if not (
        isinstance(args, list | tuple)
        and isinstance(kwargs, Mapping)
        and (embedded is None or isinstance(embedded, Mapping))
    ):
        raise TypeError
