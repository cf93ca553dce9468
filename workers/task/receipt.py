"""What a task returns: the result as JSON for the backend, usage alone for everything that prints it."""

from typing import Any

from tasks.contract import ExtractionResult


class Receipt:
    """An extraction result whose repr shows usage and no memories.

    Celery stores `__json__` in the result backend and hands it to callbacks; logs, events and Flower get the repr,
    a flat Python literal that leads with usage.
    """

    __slots__ = ("_result",)

    def __init__(self, result: ExtractionResult) -> None:
        self._result = result

    def __json__(self) -> dict[str, Any]:
        return self._result.model_dump(mode="json", exclude_none=True)

    def text(self) -> str:
        """The same as JSON."""
        return self._result.model_dump_json(exclude_none=True)

    def __repr__(self) -> str:
        result = self._result
        last = result.attempts[-1] if result.attempts else None
        return repr(
            {
                "tokens": result.usage.tokens.total,
                "input": result.usage.tokens.total - result.usage.tokens.output,
                "output": result.usage.tokens.output,
                "cost_usd": result.usage.cost_usd or "unknown",
                "latency_ms": sum(record.latency_ms for record in result.attempts),
                "attempts": result.usage.attempts,
                "status": result.status.value,
                "provider": str(last.provider) if last else None,
                "model": (last.served_model or last.model) if last else None,
                "role": last.role.value if last else None,
                "entities": sum(len(episode.entities) for episode in result.episodes),
                "facts": sum(len(episode.facts) for episode in result.episodes),
            }
        )
