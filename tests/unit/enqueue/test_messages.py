"""Messages that are made from a template are those that Celery would have sent."""

import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Settings
from tasks.contract import Priority, parse_job
from tests.support import effective
from tests.unit.enqueue.conftest import job
from workers.app import create_app
from workers.engine.address import Patience, address_of
from workers.engine.routing import first_route
from workers.lanes.control import Lanes
from workers.lanes.entering import Entry
from workers.task.messages import AttemptMessages, attempt_signature
from workers.tracing import TraceContext

PATIENCE = Patience(before_fallback=30, at_most=600)
CHAIN = [effective(), effective("backup")]


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = create_app(settings)
    yield app
    app.close()
    # Celery subscribes to the result of each task that it sends.
    cast("Any", app).backend.result_consumer.stop()
    cast("Any", app).backend.client.connection_pool.disconnect()


def decoded(text: str | bytes) -> dict[str, Any]:
    """A message without its delivery tag, its body as it was before it was encoded."""
    message: dict[str, Any] = json.loads(text)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    assert message["properties"].pop("delivery_tag")
    # Celery writes False where a process has the task itself, null where it has its name only; both keep the result.
    message["headers"]["ignore_result"] = message["headers"]["ignore_result"] or None
    return message


TRACE = TraceContext(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate="a=1")


def full_job() -> dict[str, Any]:
    return {
        "project": "acme",
        "episodes": [
            {"id": "e1", "kind": "message", "content": 'Zürich, "日本" 🦊\n', "speaker": "Ana", "role": "user"},
            {
                "id": "e2",
                "kind": "json",
                "content": {"n": [1, 2.5, 1e300, -0.0, 10**40], "deep": {"a": None, "b": True}},
            },
            {"id": "e3", "content": "x", "reference_time": "2026-03-02T08:14:00+02:00"},
        ],
        "context": [{"id": "c1", "content": "before"}],
        "idempotency_key": "chat/1",
        "priority": "backfill",
        "entity_types": [{"name": "Pet", "description": "An animal."}],
        "instructions": "Leave out payments.",
        "language": "en",
        "labels": {"team": "support"},
        "callback_url": "https://pipeline.example.com/memories",
    }


@pytest.mark.integration
@pytest.mark.parametrize("trace", [None, TRACE], ids=["untraced", "traced"])
@pytest.mark.parametrize("payload", [job("e1"), full_job()], ids=["small", "full"])
def test_a_message_is_the_one_that_celery_sends(
    app: Celery, valkey_client: redis.Redis, payload: dict[str, Any], trace: TraceContext | None
) -> None:
    parsed, route = parse_job(payload), first_route(CHAIN)
    address = address_of(parsed, CHAIN, route, PATIENCE)
    assert address is not None
    entry = AttemptMessages(app).entry(parsed, route, address, job_id="j1", trace=trace)

    document = parsed.model_dump(mode="json", exclude_unset=True)
    attempt_signature(app, document, route, address, job_id="j1", trace=trace).apply_async(task_id="j1")

    [lane] = Lanes(valkey_client).names()
    [sent] = cast("list[bytes]", valkey_client.lrange(lane.jobs, 0, -1))
    label, message = sent.split(b"\n", 1)
    assert decoded(entry.message) == decoded(message)
    assert decoded(message)["headers"].get("traceparent") == (trace and trace.traceparent)
    assert (str(entry.header.lane(entry.queue)), entry.header.label("t").split()[:-1]) == (
        str(lane),
        label.decode().split()[1:-1],
    )


def test_messages_are_told_apart_by_their_tags() -> None:
    parsed, route = parse_job(job("e1")), first_route(CHAIN)
    address = address_of(parsed, CHAIN, route, PATIENCE)
    assert address is not None
    makers = [AttemptMessages(create_app(Settings())) for _ in range(2)]

    entries: list[Entry] = [maker.entry(parsed, route, address, job_id="same") for maker in makers for _ in range(3)]

    tags = {json.loads(entry.message)["properties"]["delivery_tag"] for entry in entries}
    assert len(tags) == 6
    assert tags == {entry.tag for entry in entries}


def test_a_route_that_differs_from_the_last_is_noticed() -> None:
    parsed = parse_job(job("e1"))
    maker = AttemptMessages(create_app(Settings()))
    providers = []
    for chain in (CHAIN, [effective("other")], CHAIN):
        route = first_route(chain)
        address = address_of(parsed, chain, route, PATIENCE)
        assert address is not None
        message = decoded(maker.entry(parsed, route, address, job_id="j").message)
        providers.append((message["body"][1]["route"]["connection"], message["headers"]["byom"]["connection"]))

    assert providers == [("primary", "primary"), ("other", "other"), ("primary", "primary")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=60)
@given(content=st.dictionaries(st.text(min_size=1, max_size=8), json_values, min_size=1, max_size=4))
def test_any_payload_arrives_as_it_was(content: dict[str, Any]) -> None:
    parsed = parse_job({"project": "acme", "episodes": [{"id": "e", "kind": "json", "content": content}]})
    route = first_route(CHAIN)
    address = address_of(parsed, CHAIN, route, PATIENCE)
    assert address is not None

    [positional, keywords, embedded] = decoded(MESSAGES.entry(parsed, route, address, job_id="j").message)["body"]

    assert (positional, set(embedded.values())) == ([], {None})
    assert keywords["job"] == parsed.model_dump(mode="json", exclude_unset=True)
    assert parse_job(keywords["job"]) == parsed


MESSAGES = AttemptMessages(create_app(Settings()))


def test_the_class_of_a_job_is_in_its_header() -> None:
    for priority in Priority:
        parsed = parse_job(job("e1") | {"priority": priority.value})
        route = first_route(CHAIN)
        address = address_of(parsed, CHAIN, route, PATIENCE)
        assert address is not None
        assert decoded(MESSAGES.entry(parsed, route, address, job_id="j").message)["headers"]["byom"]["priority"] == (
            priority.value
        )
