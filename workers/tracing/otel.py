"""Tracing with OpenTelemetry's SDK. The only module that imports it; needs the extra `otel`."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tasks.contract import AttemptRecord
from workers.tracing import attributes
from workers.tracing.base import Server, TraceContext
from workers.tracing.conclusion import Conclusion

#: Seconds that sending the last spans may take at the end of a process.
_FLUSH: Final = 3.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_W3C: Final = TraceContextTextMapPropagator()

#: The job whose delivery begins a trace.
_first_of: ContextVar[str | None] = ContextVar("byom_first_of", default=None)


class _JobIds(RandomIdGenerator):
    """A trace that begins with a delivery has an id made from the job's.

    So deliveries of a message that carries no trace, because whoever enqueued it traces nothing, share one.
    """

    def generate_trace_id(self) -> int:
        """128 bits, as even as random ones: samplers decide by them."""
        job_id = _first_of.get()
        if job_id is None:
            return super().generate_trace_id()
        return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:16]) or 1


class _Delivery:
    """One delivery."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._context = _context_of(span)

    @property
    def context(self) -> TraceContext | None:
        """As `Delivered`."""
        return self._context

    def concluded(self, conclusion: Conclusion) -> None:
        """As `Delivered`."""
        self._span.set_attributes(dict(attributes.of_conclusion(conclusion)))
        if conclusion.error is not None:
            self._span.set_status(StatusCode.ERROR)


class OtelTracing:
    """Traces jobs with a tracer provider of its own: what else in a process is traced is no concern of ours."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter, *, flush: float = _FLUSH) -> None:
        """Take a provider that sends through `exporter`; `flush` in seconds."""
        self._provider = provider
        self._exporter = exporter
        self._flush = flush
        self._tracer = provider.get_tracer("byom-workers")

    @classmethod
    def sending(cls, exporter: SpanExporter, *, service: str, flush: float = _FLUSH) -> Self:
        """Send in batches, from a thread of its own; while that cannot be done, the newest 2,048 spans are kept."""
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        provider = TracerProvider(resource=resource, id_generator=_JobIds(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, exporter, flush=flush)

    def created(self, *, job_id: str, project: str, queue: str) -> TraceContext | None:
        """As `Tracing`; a child of what the calling application traces at that moment, if anything."""
        span = self._tracer.start_span(
            f"create {queue}",
            kind=SpanKind.PRODUCER,
            attributes=attributes.of_creation(job_id=job_id, project=project, queue=queue),
        )
        span.end()
        return _context_of(span)

    @contextmanager
    def delivery(self, *, job_id: str, task: str, carried: TraceContext | None) -> Iterator[_Delivery]:
        """As `Tracing`."""
        parent = _W3C.extract(carried.as_headers() if carried else {}, context=Context())
        token = _first_of.set(job_id)
        try:
            # What is raised inside says how Celery is to go on, and may quote a payload: neither belongs in a trace.
            with self._tracer.start_as_current_span(
                f"process {task}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes=attributes.of_delivery(job_id=job_id, task=task),
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                yield _Delivery(span)
        finally:
            _first_of.reset(token)

    def attempted(self, record: AttemptRecord, *, max_output_tokens: int, server: Server | None) -> None:
        """As `Tracing`."""
        began = (record.started_at - _EPOCH) // _MICROSECOND * 1_000
        span = self._tracer.start_span(
            f"{attributes.OPERATION} {record.model}",
            kind=SpanKind.CLIENT,
            attributes=attributes.of_attempt(record, max_output_tokens=max_output_tokens, server=server),
            start_time=began,
        )
        if record.status != "ok":
            span.set_status(StatusCode.ERROR)
        span.end(end_time=began + record.latency_ms * 1_000_000)

    def close(self) -> None:
        """As `Tracing`."""
        # The SDK's own end has no bound that fits a worker's.
        ending = threading.Thread(target=self._provider.shutdown, name="byom-traces-end", daemon=True)
        ending.start()
        ending.join(self._flush)
        if ending.is_alive():
            self._exporter.shutdown()


def exporter_to(endpoint: str | None) -> SpanExporter:
    """Sends spans as OTLP over HTTP; None: where OpenTelemetry's own variables say."""
    return OTLPSpanExporter(endpoint=endpoint)


def _context_of(span: Span) -> TraceContext | None:
    headers: dict[str, str] = {}
    _W3C.inject(headers, context=set_span_in_context(span, Context()))
    parent = headers.get("traceparent")
    return TraceContext(traceparent=parent, tracestate=headers.get("tracestate") or None) if parent else None
