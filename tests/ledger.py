"""Usage records for tests, and the way that they take into Redis."""

from collections.abc import Iterable
from datetime import UTC, datetime

from redis.asyncio import Redis

from tasks.contract import AttemptRecord, ProviderKind, Role, TokenUsage
from workers.jobs import RedisJobs

#: Some instant.
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def usage_record(call: str, **changes: object) -> AttemptRecord:
    """The record of a good call, with changes."""
    fields: dict[str, object] = {
        "id": call,
        "attempt": "1.1.1",
        "job_id": f"job-{call}",
        "account": "acme-inc",
        "project": "acme",
        "provider": ProviderKind.OPENAI,
        "connection": "primary",
        "role": Role.PRIMARY,
        "model": "gpt-6-luna",
        "served_model": "gpt-6-luna-2026-07-09",
        "credential_version": 2,
        "status": "ok",
        "action": "done",
        "usage": TokenUsage(input=1_000, cached_input=200, output=300, reasoning=10),
        "cost_usd": "0.000252",
        "price": {"usd_per_million": {"input": "0.1"}, "source": "genai-prices"},
        "latency_ms": 800,
        "queue_wait_ms": 50,
        "request_id": f"req-{call}",
        "priority": "live",
        "tier": "flex",
        "estimated_input": 1_100,
        "estimated_text": 60,
        "started_at": NOW,
    }
    return AttemptRecord.model_validate(fields | changes)


async def settle(client: Redis, records: Iterable[AttemptRecord], *, records_kept: int = 100_000) -> None:
    """Write records as workers do."""
    jobs = RedisJobs(client, state_ttl=60, records_kept=records_kept)
    for record in records:
        await jobs.settle(record)
