"""Where results go. What is written counts once its position is noted; what is beyond that is cut off again.

A driver writes, makes it durable, and only then notes the position. If it dies in between, the next one opens the
sink at the noted position, and what was written beyond it is written anew: no line is there twice.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """Takes lines of results. All methods raise `SinkError` when it cannot be written."""

    def open(self, position: str) -> None:
        """Begin, or go on from a position that was noted; what stands beyond it is cut off.

        Args:
            position: as `sync` gave it; empty at the very beginning, when nothing of it may exist yet.
        """

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write lines."""

    def sync(self) -> str:
        """Make what was written durable; the position up to which it is."""

    def finish(self) -> str:
        """Complete the sink: no more lines will come. The position, for `open`, which then changes nothing."""

    def close(self) -> None:
        """Let go of it; what was not made durable may be lost."""


class NoSink:
    """Results stay where workers put them: in the result backend, or with who is called back."""

    def open(self, position: str) -> None:
        """Nothing to open."""

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Nothing to write."""

    def sync(self) -> str:
        """Always at the beginning."""
        return ""

    def finish(self) -> str:
        """As `sync`."""
        return ""

    def close(self) -> None:
        """Nothing to close."""
