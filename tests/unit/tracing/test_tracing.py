"""What all kinds of tracing have in common."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.tracing.conftest import record
from workers.tracing import NO_TRACING, Conclusion, Server, TraceContext, Tracing
from workers.tracing.otel import OtelTracing

FOREIGN = TraceContext(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate="vendor=x")


@pytest.fixture(params=["off", "otel"])
def tracing(request: pytest.FixtureRequest, sent: InMemorySpanExporter) -> Iterator[Tracing]:
    tracing: Tracing = NO_TRACING if request.param == "off" else OtelTracing.sending(sent, service="test")
    yield tracing
    tracing.close()


def test_a_job_can_be_taken_from_enqueue_to_its_end(tracing: Tracing) -> None:
    carried = tracing.created(job_id="job-1", project="acme", queue="extract.openai")

    with tracing.delivery(job_id="job-1", task="extract.openai", carried=carried) as delivered:
        tracing.attempted(record(), max_output_tokens=500, server=Server(address="api.example.com", port=443))
        tracing.attempted(record(status="timeout"), max_output_tokens=500, server=None)
        delivered.concluded(Conclusion(event="job_ended", facts={"status": "succeeded"}))


def test_what_somebody_else_began_to_trace_goes_on(tracing: Tracing) -> None:
    with tracing.delivery(job_id="job-1", task="extract.openai", carried=FOREIGN) as delivered:
        onward = delivered.context

    assert onward is not None
    assert (onward.trace_id, onward.tracestate) == (FOREIGN.trace_id, "vendor=x")
    assert onward == TraceContext.of(SimpleNamespace(**onward.as_headers()))


def test_what_is_raised_inside_a_delivery_comes_out_of_it(tracing: Tracing) -> None:
    with (
        pytest.raises(KeyError, match="inside"),
        tracing.delivery(job_id="job-1", task="extract.openai", carried=None),
    ):
        raise KeyError("inside")


def test_it_may_be_closed_twice(tracing: Tracing) -> None:
    tracing.close()
