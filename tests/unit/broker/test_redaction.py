import json
from typing import Any, cast

import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker import request as celery_request
from kombu.transport.virtual import Message

from config.settings import Settings
from workers.app import create_app
from workers.broker.redaction import ByomTask, Request

CANARY = "what somebody said"
JOB = {"project": "acme", "episodes": [{"id": "1", "content": CANARY}]}


@pytest.fixture(scope="module")
def app() -> Celery:
    app = create_app(Settings())
    # The tasks themselves: one of a name that is there already, because another test has read them, is a warning.
    app.loader.import_default_modules()
    return app


def message(*, body: Any = None, headers: dict[str, Any] | None = None) -> Message:
    return Message(
        {
            "body": json.dumps([[JOB], {}, {}] if body is None else body),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {
                "id": "j-1",
                "task": "byom.extract.v1",
                "argsrepr": f"[{CANARY}]",
                "kwargsrepr": f"{{{CANARY}}}",
                "shadow": CANARY,
                "root_id": "r-1",
                "parent_id": CANARY * 100,
                **(headers or {}),
            },
            "properties": {
                "delivery_tag": "t-1",
                "delivery_info": {"exchange": "", "routing_key": "byom.extract"},
                "body_encoding": None,
            },
        },
        channel=cast("Any", _Channel()),
    )


# Not in the type stubs.
_create_request_class: Any = vars(celery_request)["create_request_cls"]


class _Channel:
    def decode_body(self, body: str, _encoding: Any) -> str:
        return body


def take_in(app: Celery, received: Message) -> Any:
    task = app.tasks["byom.extract.v1"]
    request_class = _create_request_class(Request, task, _Pool(), "worker@host", None, app=app)
    return request_class(received, app=app, task=task, hostname="worker@host")


class _Pool:
    def apply_async(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def test_whatever_the_producer_wrote_only_our_reprs_are_shown(app: Celery) -> None:
    request = take_in(app, message())

    shown = "{'project': 'acme', 'episodes': 1, 'job': 'j-1'}"
    assert (request.argsrepr, request.kwargsrepr) == ("()", shown)
    assert request.request_dict["kwargsrepr"] == shown
    assert request.name == "byom.extract.v1"
    assert (request.root_id, request.parent_id) == ("r-1", None)
    for info in (request.info(), request.info(safe=True)):
        assert (info["args"], info["kwargs"]) == ("()", shown)
    assert CANARY not in f"{request!r} {request} {request.info()}"


def test_the_task_still_gets_its_arguments(app: Celery) -> None:
    request = take_in(app, message())

    assert (list(request.args), request.kwargs) == ([JOB], {})


@pytest.mark.parametrize(
    "received",
    [
        pytest.param({"body": [[JOB], {}]}, id="no triple"),
        pytest.param({"body": [CANARY, {}, {}]}, id="arguments are no list"),
        pytest.param({"body": [[], [CANARY], {}]}, id="keyword arguments are no mapping"),
        pytest.param({"body": [[], {}, [CANARY]]}, id="embedded options are no mapping"),
        pytest.param({"body": 5}, id="a number"),
        pytest.param({"headers": {"id": None}}, id="no id"),
        pytest.param({"headers": {"id": "x" * 10_000_000}}, id="an endless id"),
        pytest.param({"headers": {"timelimit": [1, 2, 3]}}, id="odd time limits"),
        pytest.param({"headers": {"timelimit": 5}}, id="time limit is a number"),
        pytest.param({"headers": {"eta": 5}}, id="odd eta"),
        pytest.param({"headers": {"expires": CANARY}}, id="odd expiry"),
    ],
)
def test_what_celery_would_stumble_over_is_refused_and_not_quoted(app: Celery, received: dict[str, Any]) -> None:
    with pytest.raises(InvalidTaskError) as refused:
        take_in(app, message(**received))

    assert CANARY not in str(refused.value)


def test_every_task_of_the_app_is_shown_this_way_even_celerys_own(app: Celery) -> None:
    app.finalize()

    assert all(isinstance(task, ByomTask) for task in app.tasks.values())
    assert {task.Request for task in app.tasks.values()} == {"workers.broker.redaction:Request"}


@pytest.mark.parametrize("name", ["byom.extract.v1", "celery.accumulate"])
def test_messages_of_our_own_carry_no_repr_of_the_payload(app: Celery, name: str) -> None:
    published = app.amqp.as_task_v2("j-1", name, (JOB,), {})

    assert CANARY not in json.dumps(published.headers)
    assert published.headers["argsrepr"] == "()"


def test_a_repr_that_the_publisher_gives_is_kept(app: Celery) -> None:
    published = app.amqp.as_task_v2("j-1", "byom.extract.v1", (), {}, argsrepr="()", kwargsrepr="{'project': 'x'}")

    assert published.headers["kwargsrepr"] == "{'project': 'x'}"


def test_crashes_are_told_and_nothing_that_a_producer_says_of_the_delivery(app: Celery) -> None:
    forged = {"byom": {"crashes": 7}, "byom-crashes": 2}

    assert take_in(app, message(headers=forged)).request_dict["byom"] == {"crashes": 2}
    assert take_in(app, message(headers={"byom": {"crashes": 7}})).request_dict["byom"] is None
