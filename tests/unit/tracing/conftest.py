"""What a job's traces are made of."""

from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from tests.support import START


def record(**changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "id": "a1",
        "attempt": "1.0.1",
        "job_id": "job-1",
        "account": "acme-inc",
        "project": "acme",
        "provider": ProviderKind.AZURE_OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-4.1-mini",
        "served_model": "gpt-4.1-mini-2025-04-14",
        "credential_version": 3,
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=100, cached_input=20, cache_write=3, output=30, reasoning=7),
        "cost_usd": "0.000252",
        "latency_ms": 640,
        "queue_wait_ms": 250,
        "request_id": "req-1",
        "labels": {"team": "canary-label"},
        "priority": "live",
        "started_at": START,
    }
    return AttemptRecord.model_validate(fields | changes)


@pytest.fixture
def sent() -> InMemorySpanExporter:
    return InMemorySpanExporter()
