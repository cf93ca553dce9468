"""Traces of jobs on real processes: a producer, a worker, and a receiver of OTLP over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pydantic import SecretStr

from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, ExtractionFailed
from tests.integration.support.pool import CANARY, SECRET_KEY, Pool, holds, job, running_pool, wait_until
from tests.integration.support.traces import Receiver, Seen, hanging, receiving
from workers.embedded.simulator import FaultRule, Injection
from workers.enqueue.producer import Producer

pytestmark = pytest.mark.integration

FOREIGN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_PRODUCER, _CONSUMER, _CLIENT = 4, 5, 3


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("traces")) as pool:
        pool.extra |= {
            "BYOM_OTLP_ENDPOINT": receiver.url,
            "BYOM_LOG_FORMAT": "json",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        pool.start_worker()
        yield pool


@pytest.fixture
def pool(running: Pool) -> Pool:
    running.simulator.clear_faults()
    running.simulator.reset()
    running.forget_meters()
    return running


@pytest.fixture
def producer(pool: Pool, receiver: Receiver) -> Iterator[Producer]:
    """One that traces."""
    settings = pool.settings.model_copy(update={"otlp_endpoint": SecretStr(receiver.url)})
    with Producer.from_settings(settings) as producer:
        yield producer


def outage(pool: Pool) -> None:
    pool.simulator.add_fault(FaultRule(kind=Injection.STATUS, status=503, prefix="/openai/"))


def ended(receiver: Receiver, job_id: str) -> list[Seen]:
    """The spans of a job, once the delivery that ended it has come in."""

    def spans() -> list[Seen]:
        found = receiver.of_job(job_id)
        return found if any(span.attributes.get("byom.outcome") == "job_ended" for span in found) else []

    return list(wait_until(spans))


def only(spans: list[Seen], name: str) -> Seen:
    (span,) = [span for span in spans if span.name == name]
    return span


def test_a_job_with_a_fallback_is_one_tree_from_enqueue_to_result(
    pool: Pool, receiver: Receiver, producer: Producer
) -> None:
    outage(pool)

    handle = producer.enqueue(job())
    result = handle.result(timeout=30)
    ended(receiver, handle.id)
    producer.close()
    spans = wait_until(lambda: [span for span in [receiver.of_job(handle.id)] if span[0].kind == _PRODUCER])[0]

    created, first, second = (
        only(spans, name)
        for name in ("create extract.openai", "process extract.openai", "process extract.openai_compatible")
    )
    assert [created.kind, first.kind, second.kind] == [_PRODUCER, _CONSUMER, _CONSUMER]
    assert [created.parent, first.parent, second.parent] == ["", created.id, first.id]
    assert [created.service, first.service] == ["byom-producer", "byom-worker"]
    assert {span.trace for span in spans} == {created.trace}
    assert (first.attributes["byom.outcome"], first.attributes["byom.connection"]) == ("job_handed_off", "backup")
    assert (second.attributes["byom.outcome"], second.attributes["byom.status"]) == ("job_ended", "succeeded")
    # Every attempt of the ledger is a span below the delivery that made it.
    calls = {span.attributes["byom.attempt_id"]: span for span in spans if span.kind == _CLIENT}
    assert set(calls) == {attempt.id for attempt in result.attempts}
    for attempt in result.attempts:
        call = calls[attempt.id]
        assert call.parent == (first.id if attempt.connection == "primary" else second.id)
        assert call.name == f"chat {attempt.model}"
        assert call.is_error == (attempt.status != "ok")
        assert call.attributes.get("error.type", "ok") == attempt.status
        assert call.attributes["server.address"] == "127.0.0.1"
    served = calls[result.attempts[-1].id]
    usage = result.attempts[-1].usage
    assert served.attributes["gen_ai.usage.output_tokens"] == usage.output
    assert served.attributes["gen_ai.usage.input_tokens"] == usage.total - usage.output


def test_a_producer_of_others_begins_the_trace(pool: Pool, receiver: Receiver) -> None:
    with Celery(broker=pool.valkey.url, backend=pool.valkey.url) as pipeline:
        handle = pipeline.send_task(
            EXTRACT_TASK, args=[job()], queue=ENTRY_QUEUE, headers={"traceparent": FOREIGN, "tracestate": "pipe=7"}
        )
        handle.get(timeout=30)

    spans = ended(receiver, handle.id)
    accepted, delivery = only(spans, "process byom.extract.v1"), only(spans, "process extract.openai")
    _, trace, parent, _ = FOREIGN.split("-")
    assert {span.trace for span in spans} == {trace}
    assert (accepted.parent, delivery.parent) == (parent, accepted.id)
    assert accepted.attributes["messaging.destination.name"] == ENTRY_QUEUE
    assert accepted.attributes["byom.outcome"] == "job_accepted"


def test_the_deliveries_of_a_job_that_is_parked_share_their_trace_whoever_enqueued_it(
    pool: Pool, receiver: Receiver, producer: Producer
) -> None:
    outage(pool)
    with pool.producer() as untraced:
        ours, others = producer.enqueue(job(project="solo")), untraced.enqueue(job(project="solo"))
        for handle in (ours, others):
            with pytest.raises(ExtractionFailed):
                handle.result(timeout=30)

    for handle in (ours, others):
        deliveries = [span for span in ended(receiver, handle.id) if span.kind == _CONSUMER]
        assert len(deliveries) > 1
        assert len({(span.trace, span.parent) for span in deliveries}) == 1
        assert bool(deliveries[0].parent) == (handle is ours)
        assert {span.attributes["byom.outcome"] for span in deliveries[:-1]} == {"job_parked"}
        assert deliveries[-1].attributes["error.type"] == "provider_unavailable"
        assert deliveries[-1].is_error


def test_lines_of_the_log_name_job_and_trace(pool: Pool, receiver: Receiver, producer: Producer) -> None:
    outage(pool)

    handle = producer.enqueue(job())
    handle.result(timeout=30)
    (trace, *others) = {span.trace for span in ended(receiver, handle.id)}

    def lines() -> list[dict[str, object]]:
        found = [json.loads(line) for line in pool.worker_logs().splitlines() if handle.id in line]
        return [line for line in found if line["logger"].startswith("workers.")]

    wait_until(lambda: "job_ended" in {line["event"] for line in lines()})
    assert not others
    assert {line["event"] for line in lines()} == {"attempt", "job_handed_off", "job_ended"}
    assert {(line["job_id"], line["trace_id"]) for line in lines()} == {(handle.id, trace)}


def test_no_text_and_no_secret_is_in_any_trace(pool: Pool, receiver: Receiver, producer: Producer) -> None:
    outage(pool)
    handle = producer.enqueue(job())
    handle.result(timeout=30)
    ended(receiver, handle.id)

    received = b"".join(receiver.bodies)
    assert holds(received, handle.id)
    for canary in (CANARY, SECRET_KEY, "Lisbon"):
        assert not holds(received, canary)


def test_a_receiver_that_hangs_delays_neither_jobs_nor_the_end_of_the_worker(tmp_path: Path) -> None:
    with running_pool(tmp_path) as pool, hanging() as url:
        pool.extra["BYOM_OTLP_ENDPOINT"] = url
        worker = pool.start_worker()
        with pool.producer() as producer:
            handles = list(producer.enqueue_many(job() for _ in range(5)))
            statuses = {handle.result(timeout=30).status.value for handle in handles}
        worker.terminate()
        code = worker.wait(timeout=30)

    assert statuses == {"succeeded"}
    assert code == 0
