"""What customers said reaches the task and its result, and nothing else: on a real worker that logs at DEBUG."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tasks.contract import ENTRY_QUEUE
from tests.integration.support.broker import Bench, bench_on, wait_until
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.integration

CANARY = "Ada-lives-in-Lisbon"


@pytest.fixture
def bench(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(valkey, tmp_path) as bench:
        yield bench


@pytest.fixture
def foreign(valkey: EmbeddedValkey) -> Iterator[Celery]:
    """A pipeline with plain Celery, which puts the repr of everything into the headers."""
    with Celery(broker=valkey.url, backend=valkey.url, set_as_current=False) as pipeline:
        pipeline.conf.task_default_queue = ENTRY_QUEUE
        pipeline.conf.task_send_sent_event = False
        yield pipeline


class Events:
    """All that was broadcast, decoded."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def of(self, task_id: str) -> list[str]:
        """The kinds of events of one task."""
        return [event["type"] for event in self.all if event.get("uuid") == task_id]

    @property
    def text(self) -> str:
        return json.dumps(self.all)


@contextmanager
def listening(valkey: EmbeddedValkey) -> Iterator[Events]:
    events = Events()
    done = threading.Event()
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("/0.celeryev*")

        def listen() -> None:
            while not done.is_set():
                message = pubsub.get_message(timeout=0.1)
                if message and message["type"] == "pmessage":
                    body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
                    events.all.extend(body if isinstance(body, list) else [body])

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield events
        finally:
            done.set()
            listener.join()


def job(project: str, **more: Any) -> dict[str, Any]:
    return {"project": project, "episodes": [{"id": "1", "content": CANARY}], **more}


def test_payloads_stay_out_of_events_inspection_and_logs(bench: Bench, foreign: Celery, valkey: EmbeddedValkey) -> None:
    with listening(valkey) as events:
        bench.start_worker("--prefetch-multiplier", "2", concurrency=1, log_level="DEBUG")
        extracted = foreign.send_task("test.extract", args=[job("acme")])
        assert extracted.get(timeout=10) == {"memories": [CANARY]}
        failed = foreign.send_task("test.fail", args=[job("acme")])
        failed.get(timeout=10, propagate=False)
        unknown = foreign.send_task("no.such.task", args=[job("acme")], kwargs={CANARY: CANARY})
        unknown.get(timeout=10, propagate=False)
        shadowed = foreign.send_task("test.record", args=[job("shadowed")], shadow=CANARY)
        shadowed.get(timeout=10)

        scheduled = foreign.send_task("test.record", kwargs={"job": job("acme")}, countdown=600)
        active = foreign.send_task("test.hold", args=[job("acme", seconds=2)])
        reserved = foreign.send_task("test.record", args=[job("acme")])
        wait_until(lambda: "task-received" in events.of(reserved.id), bench.logs)
        inspect = bench.app.control.inspect(timeout=5, destination=["w0@test"])
        seen = {
            "active": inspect.active(),
            "reserved": inspect.reserved(),
            "scheduled": inspect.scheduled(),
            "queried": inspect.query_task(active.id, reserved.id, scheduled.id),
            "stats": inspect.stats(),
            "conf": inspect.conf(),
            "registered": inspect.registered(),
        }
        reserved.get(timeout=10)
        wait_until(lambda: "task-succeeded" in events.of(reserved.id), bench.logs)

    shown = json.dumps(seen)
    for task in (active, reserved, scheduled):
        described = f"{{'project': 'acme', 'episodes': 1, 'job': '{task.id}'}}"
        assert shown.count(f'"args": "()", "kwargs": "{described}"') == 2
        assert {event["kwargs"] for event in events.all if "kwargs" in event and event["uuid"] == task.id} == {
            described
        }
    assert events.of(extracted.id) == ["task-received", "task-started", "task-succeeded"]
    (succeeded,) = [event for event in events.all if event.get("uuid") == extracted.id and "result" in event]
    assert succeeded["result"] == "{'facts': 1}"
    assert {event["name"] for event in events.all if event.get("uuid") == shadowed.id and "name" in event} == {
        "test.record"
    }
    logs = bench.logs()
    assert "{'facts': 1}" in logs
    assert "RuntimeError: could not do it for acme" in logs
    assert "no.such.task" in logs
    for place in (shown, events.text, logs):
        assert CANARY not in place
        assert base64.b64encode(CANARY.encode()).decode()[2:-4] not in place
    assert isinstance(failed.result, RuntimeError)
    assert CANARY not in f"{failed.traceback} {unknown.result}"


HEADERS = {"id": "j", "task": "test.record", "root_id": "j", "kwargsrepr": CANARY, "timelimit": [None, None]}


def test_a_worker_survives_messages_that_are_no_tasks(bench: Bench) -> None:
    odd_headers: list[dict[str, Any]] = [
        {"id": None},
        {"id": "x" * 300},
        {"task": ["x"]},
        {"task": None},
        {"timelimit": 5},
        {"eta": CANARY},
        {"expires": CANARY},
    ]
    odd_bodies: list[Any] = [[[job("x")], {}], 5, {CANARY: 1}, [5, 5, 5], [[], {}, [CANARY]], CANARY, None]
    fine = [[job("x")], {}, {}]
    with bench.app.producer_pool.acquire(block=True) as producer:
        for headers in odd_headers:
            producer.publish(fine, routing_key=ENTRY_QUEUE, serializer="json", headers=HEADERS | headers)
        for body in odd_bodies:
            producer.publish(body, routing_key=ENTRY_QUEUE, serializer="json", headers=HEADERS)
            producer.publish(body, routing_key=ENTRY_QUEUE, serializer="json", headers={})
        producer.publish(
            b"\xff" + CANARY.encode(),
            routing_key=ENTRY_QUEUE,
            content_type="application/json",
            content_encoding="utf-8",
            headers=HEADERS,
        )
        producer.publish(
            CANARY.encode(),
            routing_key=ENTRY_QUEUE,
            content_type="application/x-python-serialize",
            content_encoding="binary",
            headers=HEADERS,
        )
    worker = bench.start_worker(log_level="DEBUG")
    bench.send("test.record", "good")

    wait_until(bench.idle, bench.logs)
    assert worker.poll() is None
    assert bench.counts("runs") == {"good": 1}
    assert CANARY not in bench.logs()
    assert "Connection to broker lost" not in bench.logs()
