"""The lines of the log that belong to a job: one per attempt, one per delivery, each with its ids and no content."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
import structlog
from celery import Task
from celery.exceptions import Ignore, Reject
from celery.result import EagerResult

from config.settings import Settings
from tasks.contract import (
    EXTRACT_TASK,
    ContractError,
    ExtractionFailed,
    ExtractionJob,
    ExtractionResult,
    Failure,
    FailureCode,
    JobRefused,
    JobStatus,
)
from tests.unit.engine.conftest import Bench, fault, make_job
from workers.admission import Reason
from workers.app import create_app
from workers.engine.engine import Collect, HandOff, Park
from workers.engine.routing import Hop, Route
from workers.enqueue.intake import Accepted, Duplicate
from workers.jobs import Ending
from workers.log import configure_logging
from workers.providers.base import FaultKind
from workers.task.extraction_body import carry_out
from workers.tracing import NO_TRACING, Conclusion, NoTracing, TraceContext, Tracing

CANARY = "canary-Ada-moved-to-Lisbon"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
PAYLOAD = {"project": "acme", "episodes": [{"id": "e1", "content": CANARY}]}
ROUTE = Route(
    connection="backup",
    provider="gemini",
    model="flash",
    role="fallback",
    history=(Hop(connection="primary", provider="openai", model="luna", code=FailureCode.PROVIDER_UNAVAILABLE),),
)
RESULT = ExtractionResult(job_id="job-1", project="acme", status=JobStatus.SUCCEEDED)
FAILURE = Failure(
    code=FailureCode.RATE_LIMITED, message=CANARY, project="acme", provider="openai", connection="primary"
)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("json", "INFO", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


class FakeTask:
    """A task with a message that carries a trace."""

    name = "extract.openai"

    def __init__(self, **request: Any) -> None:
        self.request = SimpleNamespace(id="job-1", traceparent=PARENT, **request)
        self.sent: list[Any] = []
        self.states: list[tuple[str, str]] = []
        self.app = SimpleNamespace(
            signature=lambda name, **options: SimpleNamespace(name=name, options=options),
            AsyncResult=lambda job_id: EagerResult(job_id, RESULT.model_dump(mode="json"), "SUCCESS"),
        )

    def update_state(self, *, state: str, meta: dict[str, Any]) -> None:
        self.states.append((state, meta["reason"]))

    def replace(self, signature: Any) -> None:
        self.sent.append(signature)
        raise Ignore


def run(step: Any, task: FakeTask | None = None, *, tracing: Tracing = NO_TRACING, payload: Any = None) -> FakeTask:
    """Carry a job out; what it raises is what Celery is told."""
    task = task or FakeTask()

    def answer(_job: ExtractionJob, _job_id: str) -> Any:
        if isinstance(step, BaseException):
            raise step
        return step

    with suppress(ContractError, Ignore, Reject):
        carry_out(
            cast("Task[Any, Any]", task),
            payload or PAYLOAD,
            answer,
            pause=lambda: None,
            failed=lambda *_: None,
            tracing=tracing,
        )
    return task


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            Park(reason=Reason.TOKENS, seconds=1.23456),
            {"event": "job_parked", "project": "acme", "reason": "tokens", "seconds": 1.235},
        ),
        (
            Collect(connection="primary"),
            {"event": "job_collected", "project": "acme", "connection": "primary"},
        ),
        (
            HandOff(route=ROUTE, address=None),
            {
                "event": "job_handed_off",
                "project": "acme",
                "provider": "gemini",
                "connection": "backup",
                "model": "flash",
                "role": "fallback",
                "hop": 2,
                "because": "provider_unavailable",
            },
        ),
        (
            Accepted(route=ROUTE, address=None),
            {
                "event": "job_accepted",
                "project": "acme",
                "provider": "gemini",
                "connection": "backup",
                "model": "flash",
                "role": "fallback",
                "hop": 2,
            },
        ),
        (Duplicate(job_id="first"), {"event": "job_duplicate", "project": "acme", "duplicate_of": "first"}),
        (
            Ending(result=RESULT),
            {
                "event": "job_ended",
                "project": "acme",
                "status": "succeeded",
                "episodes": 0,
                "failed_episodes": 0,
                "attempts": 0,
                "input": 0,
                "output": 0,
                "cost_usd": "unknown",
            },
        ),
        (
            Ending(failure=FAILURE),
            {
                "event": "job_ended",
                "project": "acme",
                "status": "failed",
                "code": "rate_limited",
                "provider": "openai",
                "connection": "primary",
                "attempts": 0,
            },
        ),
        (
            JobRefused(CANARY, {"code": "no_connection"}),
            {"event": "job_refused", "project": "acme", "code": "no_connection"},
        ),
        (redis.ConnectionError(CANARY), {"event": "job_put_back", "level": "warning", "error": "ConnectionError"}),
        (CancelledError(), {"event": "job_put_back", "error": "the worker stops"}),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_each_delivery_ends_with_one_line(step: Any, expected: dict[str, Any], log: io.StringIO) -> None:
    run(step)

    (line,) = lines(log)
    assert line.pop("timestamp")
    assert line == {
        "level": "info",
        "logger": "workers.task.extraction_body",
        "task": "extract.openai",
        "job_id": "job-1",
        "trace_id": TRACE,
        **expected,
    }


def test_an_unforeseen_error_leaves_the_lines_of_code_and_nothing_of_its_message(log: io.StringIO) -> None:
    run(RuntimeError(CANARY))

    failed, ended = lines(log)
    assert (failed["event"], failed["error"], failed["level"]) == ("job_failed_unexpectedly", "RuntimeError", "error")
    assert "in answer" in failed["traceback"]
    assert (ended["event"], ended["status"], ended["code"]) == ("job_ended", "failed", "internal")
    assert {line["job_id"] for line in (failed, ended)} == {"job-1"}
    assert CANARY not in log.getvalue()


def test_a_payload_that_is_no_job_is_named_by_its_id_alone(log: io.StringIO) -> None:
    run(Ending(result=RESULT), payload={"project": f"{CANARY} ", "episodes": CANARY})

    (line,) = lines(log)
    assert (line["event"], line["code"], line["job_id"]) == ("job_refused", "invalid_job", "job-1")
    assert CANARY not in log.getvalue()


def test_without_a_trace_there_is_no_id_of_one(log: io.StringIO) -> None:
    task = FakeTask()
    del task.request.traceparent

    run(Ending(result=RESULT), task)

    (line,) = lines(log)
    assert "trace_id" not in line


def test_ids_of_a_job_are_off_the_lines_that_follow_it(log: io.StringIO) -> None:
    run(Ending(result=RESULT))
    structlog.get_logger("workers.x").info("later")

    assert "job_id" not in lines(log)[-1]


@pytest.mark.parametrize("step", [HandOff(route=ROUTE, address=None), Accepted(route=ROUTE, address=None)], ids=str)
def test_messages_that_follow_carry_the_trace(step: Any) -> None:
    (signature,) = run(step).sent

    assert signature.options["headers"] == {"traceparent": PARENT}


@pytest.mark.parametrize(
    ("step", "states"),
    [
        (HandOff(route=ROUTE, address=None), [("WAITING", "fallback")]),
        (Park(reason=Reason.TOKENS, seconds=1), [("WAITING", "tokens")]),
        (Park(reason=Reason.BUDGET, seconds=1), [("BUDGET_PAUSED", "budget")]),
        # Its entry task has never said that it runs.
        (Accepted(route=ROUTE, address=None), []),
    ],
    ids=str,
)
def test_a_job_that_goes_on_elsewhere_is_not_called_running_meanwhile(step: Any, states: list[tuple[str, str]]) -> None:
    assert run(step).states == states


def test_the_entry_task_never_says_that_a_job_runs() -> None:
    with create_app(Settings()) as app:
        app.loader.import_default_modules()
        assert [app.tasks[name].track_started for name in (EXTRACT_TASK, "extract.openai")] == [False, True]


class Told(NoTracing):
    """Tracing that keeps how deliveries came out."""

    def __init__(self) -> None:
        self.conclusions: list[Conclusion] = []

    @contextmanager
    def delivery(self, *, job_id: str, task: str, carried: TraceContext | None) -> Iterator["Told"]:  # type: ignore[override]  # as `Tracing`
        assert (job_id, task) == ("job-1", "extract.openai")
        self.context = carried
        yield self

    def concluded(self, conclusion: Conclusion) -> None:
        self.conclusions.append(conclusion)


@pytest.mark.parametrize(
    ("step", "event", "error"),
    [
        (Park(reason=Reason.BUDGET, seconds=1), "job_parked", None),
        (Ending(result=RESULT), "job_ended", None),
        (Ending(failure=FAILURE), "job_ended", "rate_limited"),
        (ExtractionFailed("x", {"code": "internal"}), "job_refused", "internal"),
        (RuntimeError(CANARY), "job_ended", "internal"),
        (redis.TimeoutError(CANARY), "job_put_back", None),
    ],
    ids=str,
)
def test_a_trace_is_told_the_same_as_the_log(step: Any, event: str, error: str | None) -> None:
    told = Told()

    run(step, tracing=told)

    (conclusion,) = told.conclusions
    assert (conclusion.event, conclusion.error) == (event, error)


async def test_each_attempt_is_one_line_with_all_fields_of_the_ledger(bench: Bench, log: io.StringIO) -> None:
    bench.model.then("primary", fault(FaultKind.UNAVAILABLE))
    await bench.run(make_job(CANARY, labels={"run": "nightly"}))

    said = [line for line in lines(log) if line["event"] == "attempt"]
    assert len(said) == len(bench.records) == 2
    for line, record in zip(said, bench.records, strict=True):
        expected = record.model_dump(mode="json", exclude_none=True)
        assert {name: line[name] for name in expected} == expected
        assert line.keys() - expected.keys() == {"event", "level", "logger", "timestamp"}
    assert said[0]["usage"].keys() >= {"input", "output", "cached_input"}
    assert (said[1]["labels"], said[1]["status"]) == ({"team": "search", "run": "nightly"}, "ok")
    assert CANARY not in log.getvalue()


def test_what_celery_says_of_a_task_is_found_by_its_job(log: io.StringIO) -> None:
    told = {"id": "job-1", "name": "extract.openai", "runtime": 0.3, "return_value": "{'tokens': 7}", "args": CANARY}
    logging.getLogger("celery.app.trace").info("Task %(name)s[%(id)s] succeeded in %(runtime)ss", told)
    logging.getLogger("celery.app.trace").info("Task %s done", "x")
    logging.getLogger("somebody.else").info("%(id)s", {"id": "other"})

    named, unnamed, other = lines(log)
    assert (named["job_id"], named["event"]) == ("job-1", "Task extract.openai[job-1] succeeded in 0.3s")
    assert "job_id" not in unnamed
    assert "job_id" not in other
    assert CANARY not in log.getvalue()
