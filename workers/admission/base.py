"""The interface between the engine and whatever decides who may call now."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from config.connections import EffectiveConnection
from tasks.contract import TokenUsage


class Lease(Protocol):
    """Leave to make one call."""

    def settle(self, usage: TokenUsage) -> None:
        """Say what the call really used; without it the estimate stands."""


class Admission(Protocol):
    """Bounds calls in flight."""

    def admit(self, effective: EffectiveConnection, *, tokens: int) -> AbstractAsyncContextManager[Lease]:
        """Wait for leave to make one call and give it back when the block ends.

        Args:
            effective: the connection to call on.
            tokens: estimated input plus expected output.
        """
