import json
import logging
from typing import Any

import pytest
from celery.exceptions import InvalidTaskError
from celery.utils.objects import Bunch
from kombu.exceptions import DecodeError

from config.settings import Settings
from workers.app import create_app
from workers.broker.consumer import Consumer

CANARY = "what somebody said"


class Received:
    """A message as the consumer sees it, with a note of what became of it."""

    def __init__(self, *, headers: Any = None, payload: Any = None) -> None:
        self.headers = {"id": "j-1", "task": "no.such.task", "kwargsrepr": CANARY} if headers is None else headers
        self.payload = [[CANARY], {}, {}] if payload is None else payload
        self.body = json.dumps(self.payload).encode()
        self.properties: dict[str, Any] = {}
        self.delivery_info = {"exchange": "", "routing_key": "byom.extract"}
        self.content_type, self.content_encoding = "application/json", "utf-8"
        # Shared with copies, as the channel is.
        self.rejected: list[str] = []

    def reject_log_error(self, *_args: Any, **_kwargs: Any) -> None:
        self.rejected.append(self.headers.get("id", ""))

    ack = ack_log_error = reject_log_error


@pytest.fixture
def consumer() -> Consumer:
    app = create_app(Settings())
    app.conf.update(result_backend="cache+memory://")
    consumer = Consumer.__new__(Consumer)
    consumer.app = app
    vars(consumer).update(connection_errors=(), event_dispatcher=None, strategies={}, on_task_message=set())
    vars(consumer).update(call_soon_ack=lambda call, *args: call(*args))
    return consumer


def test_an_unknown_task_is_told_by_name_and_id_only(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    received = Received()

    consumer.on_unknown_task(None, received, KeyError("no.such.task"))

    assert "no.such.task" in caplog.text
    assert CANARY not in caplog.text
    assert received.rejected == ["j-1"]
    assert consumer.app.AsyncResult("j-1").state == "FAILURE"


def test_an_invalid_task_is_reported_without_its_body(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    received = Received()

    consumer.on_invalid_task(None, received, InvalidTaskError("cannot be run"))

    assert "cannot be run" in caplog.text
    assert CANARY not in caplog.text
    assert received.rejected == ["j-1"]
    with pytest.raises(InvalidTaskError, match="cannot be run"):
        consumer.app.AsyncResult("j-1").get(timeout=1)


def test_a_body_that_cannot_be_decoded_is_not_quoted(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    received = Received()
    broken = UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, "invalid")

    consumer.on_decode_error(received, DecodeError(broken))

    assert "DecodeError" in caplog.text
    assert CANARY not in caplog.text
    assert received.rejected == ["j-1"]


@pytest.mark.parametrize(
    "received",
    [
        pytest.param({"headers": {"id": "j-1", "task": ["no", CANARY]}}, id="the task has no name"),
        pytest.param({"headers": {"id": "j-1", "task": "no.such.task"}, "payload": 5}, id="the body is a number"),
        pytest.param({"headers": {"id": "j-1"}, "payload": {"said": CANARY}}, id="the body is no task"),
    ],
)
def test_what_is_no_task_message_is_dropped_and_the_worker_goes_on(
    consumer: Consumer, caplog: pytest.LogCaptureFixture, received: dict[str, Any]
) -> None:
    message = Received(**received)
    vars(message).update(decode=lambda: message.payload)

    consumer.create_task_handler()(message)

    assert "unknown message" in caplog.text
    assert CANARY not in caplog.text
    assert message.rejected == ["j-1"]


def test_a_task_message_reaches_its_strategy(consumer: Consumer) -> None:
    taken: list[Any] = []
    vars(consumer).update(
        strategies={"known": lambda *args: taken.append(args)},
        _maximum_prefetch_restored=True,
        qos=Bunch(value=1),
    )
    message = Received(headers={"id": "j-1", "task": "known"})

    consumer.create_task_handler()(message)

    assert [args[0] for args in taken] == [message]
    assert message.rejected == []
