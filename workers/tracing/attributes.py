"""What spans say, by the names of OpenTelemetry's semantic conventions where these have one. Pure.

Names and numbers only. Nothing here is text that a customer or a model wrote, and the set of names is fixed.
"""

from collections.abc import Mapping
from typing import Final

from config.prices import PICO
from tasks.contract import ENTRY_QUEUE, EXTRACT_TASK, AttemptRecord
from workers.ledger.amounts import cost_pico
from workers.monitoring.metrics.names import provider_name
from workers.tracing.base import Server
from workers.tracing.conclusion import Conclusion

Attributes = Mapping[str, str | int | float]

#: What a call does, by the conventions.
OPERATION: Final = "chat"
#: What carries the messages, by the conventions: their list has no Redis, and lets others name themselves.
_SYSTEM: Final = "celery"


def of_creation(*, job_id: str, project: str, queue: str) -> Attributes:
    """Of a job that is enqueued."""
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.type": "create",
        "messaging.operation.name": "create",
        "messaging.destination.name": queue,
        "messaging.message.id": job_id,
        "byom.project": project,
    }


def of_delivery(*, job_id: str, task: str) -> Attributes:
    """Of a delivery that begins."""
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        # Other queues are called like the tasks that they carry.
        "messaging.destination.name": ENTRY_QUEUE if task == EXTRACT_TASK else task,
        "messaging.message.id": job_id,
    }


def of_conclusion(conclusion: Conclusion) -> Attributes:
    """Of a delivery that ends."""
    told = {f"byom.{name}": value for name, value in conclusion.facts.items()}
    error = {} if conclusion.error is None else {"error.type": conclusion.error}
    return {"byom.outcome": conclusion.event, **told, **error}


def of_attempt(record: AttemptRecord, *, max_output_tokens: int, server: Server | None) -> Attributes:
    """Of a call, once it is settled."""
    usage, cost = record.usage, cost_pico(record)
    known: dict[str, str | int | float | None] = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": provider_name(record.provider),
        "gen_ai.request.model": record.model,
        "gen_ai.request.max_tokens": max_output_tokens,
        "gen_ai.response.model": record.served_model,
        "server.address": None if server is None else server.address,
        "server.port": None if server is None else server.port,
        "error.type": None if record.status == "ok" else record.status,
        "byom.job_id": record.job_id,
        "byom.attempt": record.attempt,
        "byom.attempt_id": record.id,
        "byom.project": record.project,
        "byom.account": record.account,
        "byom.connection": record.connection,
        "byom.role": record.role,
        "byom.credential_version": record.credential_version,
        "byom.priority": record.priority,
        "byom.action": record.action,
        "byom.cost_usd": None if cost is None else cost / PICO,
        "byom.queue_wait_ms": record.queue_wait_ms,
        "byom.request_id": record.request_id,
    }
    if usage.total:
        known |= {
            # The conventions count what was read from the cache and written to it as input, too.
            "gen_ai.usage.input_tokens": usage.total - usage.output,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        }
    return {name: _plain(value) for name, value in known.items() if value is not None}


def _plain(value: str | float) -> str | int | float:
    """Enumerations are texts, but their own kind of it."""
    return str(value) if isinstance(value, str) else value
