"""What becomes of deliveries to webhooks and callbacks, as metrics show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

#: What may become of one.
OUTCOMES: Final = ("delivered", "retried", "failed", "redelivered")


class WebhookBoard(Protocol):
    """What is known of deliveries. All of it raises `redis.RedisError` when nobody can be asked."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(Project, outcome) → how often ever. Only ever grows."""

    def waiting_in_all(self) -> int:
        """Deliveries that wait for any receiver, those being sent included."""

    def failing(self) -> int:
        """Receivers that wait for something, and whose last delivery failed."""


@dataclass(slots=True, kw_only=True)
class MemoryWebhooks:
    """Numbers; for tests."""

    counted: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: int = 0
    failing_receivers: int = 0

    def counts(self) -> Mapping[tuple[str, str], int]:
        """As the board."""
        return dict(self.counted)

    def waiting_in_all(self) -> int:
        """As the board."""
        return self.waiting

    def failing(self) -> int:
        """As the board."""
        return self.failing_receivers
