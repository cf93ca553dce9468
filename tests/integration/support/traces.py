"""A receiver of traces: takes OTLP over HTTP and keeps the spans."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.posted import listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One span, as a receiver sees it."""

    name: str
    trace: str
    id: str
    #: Empty where it begins a trace.
    parent: str
    service: str
    kind: int
    is_error: bool
    attributes: dict[str, Any]


@dataclass
class Receiver:
    """What was received."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, *, trace: str | None = None) -> list[Seen]:
        """All spans, or those of one trace, by when they began."""
        found = [(span.start_time_unix_nano, self._seen(resource, span)) for resource, span in self._all()]
        ordered = [seen for _, seen in sorted(found, key=lambda pair: pair[0])]
        return [seen for seen in ordered if trace in {None, seen.trace}]

    def of_job(self, job_id: str) -> list[Seen]:
        """The spans of the traces in which a job occurs."""
        own = {span.trace for span in self.spans() if job_id in span.attributes.values()}
        return [span for span in self.spans() if span.trace in own]

    def _all(self) -> Iterator[tuple[Any, Any]]:
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield resource.resource, span

    @staticmethod
    def _seen(resource: Any, span: Any) -> Seen:
        return Seen(
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            service=_plain(resource.attributes)["service.name"],
            kind=span.kind,
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
            attributes=_plain(span.attributes),
        )


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with listening(Handler) as server:
        receiver = Receiver(server.url)
        yield receiver


@contextmanager
def hanging() -> Iterator[str]:
    """The URL of a receiver that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
