"""The interface of tracing, and the context that travels with a message.

A trace joins what happens to one job in several processes: the producer enqueues it, workers take deliveries of it,
each delivery makes attempts. The context travels in the headers of the message, as W3C Trace Context names them; a
message that is parked keeps its headers, and one that goes on to another connection carries the context of the delivery
that sent it on.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from tasks.contract import AttemptRecord
from workers.tracing.conclusion import Conclusion

#: Version 00, which later versions begin like; ids of zeros only are none.
_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
#: What tracing systems tell each other; the longest that they have to pass on.
_STATE: Final = re.compile(r"[a-z0-9][a-z0-9_@*/-]{0,255}=[\x21-\x2b\x2d-\x3c\x3e-\x7e]{1,256}")
_LONGEST_STATE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """Where in which trace something was caused."""

    #: The W3C header: version, trace id, span id, flags.
    traceparent: str
    tracestate: str | None = None

    @classmethod
    def of(cls, request: Any) -> Self | None:
        """What the headers of a message say, as attributes of a Celery request; None unless it is well-formed.

        Anybody may have written them: what does not look like a trace context goes nowhere.
        """
        parent, state = getattr(request, "traceparent", None), getattr(request, "tracestate", None)
        if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
            return None
        return cls(traceparent=parent, tracestate=state if _is_state(state) else None)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    def as_headers(self) -> dict[str, str]:
        """The headers of a message that this caused."""
        headers = {"traceparent": self.traceparent}
        return headers if self.tracestate is None else {**headers, "tracestate": self.tracestate}


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST_STATE
        and all(_STATE.fullmatch(member.strip(" ")) for member in value.split(","))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a call went."""

    address: str
    port: int | None = None


class Delivered(Protocol):
    """One delivery of one job, while a worker has it in hand."""

    @property
    def context(self) -> TraceContext | None:
        """For messages that follow from it, and for its log lines; None where nothing is traced."""

    def concluded(self, conclusion: Conclusion) -> None:
        """Say how it came out."""


class Tracing(Protocol):
    """Traces jobs. One per process; safe for threads. Nothing here blocks, but `close`, or raises."""

    def created(self, *, job_id: str, project: str, queue: str) -> TraceContext | None:
        """A job is about to be published; answers with what its message has to carry."""

    def delivery(self, *, job_id: str, task: str, carried: TraceContext | None) -> AbstractContextManager[Delivered]:
        """Everything inside belongs to one delivery.

        Args:
            job_id: the job.
            task: the name of the Celery task.
            carried: what its message carried.
        """

    def attempted(self, record: AttemptRecord, *, max_output_tokens: int, server: Server | None) -> None:
        """An attempt of the delivery at hand is over and settled.

        Args:
            record: as the ledger has it.
            max_output_tokens: what the model was allowed to answer with.
            server: None when nothing was sent.
        """

    def close(self) -> None:
        """Send what is left; returns in bounded time, whether that works or not."""
