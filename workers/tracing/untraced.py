"""Tracing that is off: passes on what others wrote into a message, and does nothing else."""

from types import TracebackType
from typing import Self

from tasks.contract import AttemptRecord
from workers.tracing.base import Server, TraceContext
from workers.tracing.conclusion import Conclusion


class _Untraced:
    """A delivery; its messages carry on what it carried itself, so that a trace of others does not break here."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def concluded(self, conclusion: Conclusion) -> None:
        """As `Delivered`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class NoTracing:
    """Traces nothing."""

    def created(self, *, job_id: str, project: str, queue: str) -> TraceContext | None:  # noqa: ARG002 - as `Tracing`
        """As `Tracing`."""
        return None

    def delivery(self, *, job_id: str, task: str, carried: TraceContext | None) -> _Untraced:  # noqa: ARG002 - as above
        """As `Tracing`."""
        return _Untraced(carried)

    def attempted(self, record: AttemptRecord, *, max_output_tokens: int, server: Server | None) -> None:
        """As `Tracing`."""

    def close(self) -> None:
        """As `Tracing`."""


NO_TRACING = NoTracing()
