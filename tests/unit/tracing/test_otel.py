"""What OpenTelemetry is told of jobs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tasks.contract import TokenUsage
from tests.unit.tracing.conftest import record
from workers.tracing import Conclusion, Server, TraceContext
from workers.tracing.otel import OtelTracing

FOREIGN = TraceContext(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
UNSAMPLED = TraceContext(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")

Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def tracing(sent: InMemorySpanExporter) -> Iterator[OtelTracing]:
    tracing = OtelTracing.sending(sent, service="byom-test")
    yield tracing
    tracing.close()


@pytest.fixture
def spans(tracing: OtelTracing, sent: InMemorySpanExporter) -> Spans:
    """All spans, by when they began."""

    def all_spans() -> list[ReadableSpan]:
        tracing._provider.force_flush()
        return sorted(sent.get_finished_spans(), key=lambda span: span.start_time or 0)

    return all_spans


def told(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def test_enqueue_deliveries_and_attempts_are_one_tree(tracing: OtelTracing, spans: Spans) -> None:
    carried = tracing.created(job_id="job-1", project="acme", queue="extract.azure_openai")
    with tracing.delivery(job_id="job-1", task="extract.azure_openai", carried=carried) as first:
        first.concluded(Conclusion(event="job_handed_off", facts={"connection": "backup"}))
    with tracing.delivery(job_id="job-1", task="extract.gemini", carried=first.context) as second:
        second.concluded(Conclusion(event="job_ended", facts={"status": "succeeded"}))

    creation, delivery, fallback = spans()
    assert [span.name for span in spans()] == [
        "create extract.azure_openai",
        "process extract.azure_openai",
        "process extract.gemini",
    ]
    assert [span.kind for span in spans()] == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CONSUMER]
    assert (parent_of(creation), parent_of(delivery), parent_of(fallback)) == (None, id_of(creation), id_of(delivery))
    assert told(delivery) == {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "extract.azure_openai",
        "messaging.message.id": "job-1",
        "byom.outcome": "job_handed_off",
        "byom.connection": "backup",
    }
    assert creation.resource.attributes["service.name"] == "byom-test"


def test_an_attempt_is_a_client_span_under_the_names_of_the_conventions(tracing: OtelTracing, spans: Spans) -> None:
    with tracing.delivery(job_id="job-1", task="extract.azure_openai", carried=FOREIGN):
        tracing.attempted(record(), max_output_tokens=500, server=Server(address="acme.openai.azure.com", port=None))

    attempt, delivery = spans()
    assert (attempt.name, attempt.kind) == ("chat gpt-4.1-mini", SpanKind.CLIENT)
    assert parent_of(attempt) == id_of(delivery)
    assert told(attempt) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.request.max_tokens": 500,
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.usage.input_tokens": 123,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "server.address": "acme.openai.azure.com",
        "byom.job_id": "job-1",
        "byom.attempt": "1.0.1",
        "byom.attempt_id": "a1",
        "byom.account": "acme-inc",
        "byom.project": "acme",
        "byom.connection": "primary",
        "byom.role": "primary",
        "byom.credential_version": 3,
        "byom.priority": "live",
        "byom.action": "done",
        "byom.cost_usd": 0.000252,
        "byom.queue_wait_ms": 250,
        "byom.request_id": "req-1",
    }
    assert attempt.start_time is not None
    assert attempt.end_time is not None
    assert attempt.start_time == int(record().started_at.timestamp()) * 10**9
    assert attempt.end_time - attempt.start_time == 640 * 10**6
    assert attempt.status.status_code is StatusCode.UNSET


def test_a_failed_attempt_says_why_and_counts_no_tokens_that_were_not(tracing: OtelTracing, spans: Spans) -> None:
    failed = record(status="rate_limited", usage=TokenUsage(), cost_usd=None, served_model=None)
    with tracing.delivery(job_id="job-1", task="extract.azure_openai", carried=FOREIGN):
        tracing.attempted(failed, max_output_tokens=500, server=Server(address="::1", port=8443))

    attempt, _ = spans()
    assert told(attempt)["error.type"] == "rate_limited"
    assert told(attempt)["server.port"] == 8443
    assert not [name for name in told(attempt) if "usage" in name or "cost" in name or "response" in name]
    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.status.description is None


def test_labels_of_a_job_are_left_out(tracing: OtelTracing, spans: Spans) -> None:
    with tracing.delivery(job_id="job-1", task="extract.azure_openai", carried=None):
        tracing.attempted(record(), max_output_tokens=500, server=None)

    assert "canary-label" not in "".join(span.to_json() for span in spans())


def test_a_job_that_failed_is_an_error_and_what_was_raised_is_not_told(tracing: OtelTracing, spans: Spans) -> None:
    def deliver() -> None:
        with tracing.delivery(job_id="job-1", task="extract.openai", carried=None) as delivered:
            delivered.concluded(Conclusion(event="job_ended", facts={"code": "timeout"}, error="timeout"))
            raise ValueError("canary: Ada moved to Lisbon")

    with pytest.raises(ValueError, match="canary"):
        deliver()

    (delivery,) = spans()
    assert told(delivery)["error.type"] == "timeout"
    assert delivery.status.status_code is StatusCode.ERROR
    assert delivery.events == ()
    assert "canary" not in delivery.to_json()


def test_deliveries_of_a_message_that_carries_nothing_share_a_trace(tracing: OtelTracing, spans: Spans) -> None:
    for job in ("job-1", "job-2", "job-1"):
        with tracing.delivery(job_id=job, task="extract.openai", carried=None):
            pass

    first, other, again = (span.context.trace_id for span in spans() if span.context)
    assert first == again
    assert first != other
    assert first.bit_length() <= 128


def test_a_job_belongs_to_what_the_calling_application_traces(tracing: OtelTracing, spans: Spans) -> None:
    application = TracerProvider(shutdown_on_exit=False).get_tracer("application")
    with application.start_as_current_span("request") as request:
        tracing.created(job_id="job-1", project="acme", queue="extract.openai")
        here = trace.get_current_span()

    (creation,) = spans()
    assert here is request
    assert parent_of(creation) == request.get_span_context().span_id


def test_a_delivery_never_belongs_to_whatever_its_thread_did_before(tracing: OtelTracing, spans: Spans) -> None:
    application = TracerProvider(shutdown_on_exit=False).get_tracer("application")
    with (
        application.start_as_current_span("request"),
        tracing.delivery(job_id="job-1", task="extract.openai", carried=None),
    ):
        pass

    (delivery,) = spans()
    assert delivery.parent is None


def test_who_did_not_sample_is_followed(tracing: OtelTracing, spans: Spans) -> None:
    with tracing.delivery(job_id="job-1", task="extract.openai", carried=UNSAMPLED) as delivered:
        tracing.attempted(record(), max_output_tokens=500, server=None)

    assert spans() == []
    assert delivered.context is not None
    assert delivered.context.trace_id == UNSAMPLED.trace_id
    assert delivered.context.traceparent.endswith("-00")


class Stuck(SpanExporter):
    """A receiver that takes a connection and never answers."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
        self.asked.set()
        self.released.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.released.set()


def test_the_end_of_a_process_does_not_wait_for_a_receiver_that_hangs() -> None:
    stuck = Stuck()
    tracing = OtelTracing.sending(stuck, service="byom-test", flush=0.05)
    began = time.monotonic()
    with tracing.delivery(job_id="job-1", task="extract.openai", carried=None):
        pass

    tracing.close()

    assert stuck.asked.wait(10)
    assert stuck.released.is_set()
    # The SDK itself would wait for thirty seconds.
    assert time.monotonic() - began < 20


def test_the_end_of_a_process_sends_what_is_left(sent: InMemorySpanExporter) -> None:
    tracing = OtelTracing.sending(sent, service="byom-test")
    tracing.created(job_id="job-1", project="acme", queue="extract.openai")

    tracing.close()

    assert [span.name for span in sent.get_finished_spans()] == ["create extract.openai"]
