"""What worker and child say to each other: JSON documents on pipes, each behind its length."""

import struct
from typing import IO

from pydantic import BaseModel, ConfigDict

from tasks.contract import ExtractionJob
from workers.engine.delivery import Delivery
from workers.engine.engine import Collect, HandOff, Park
from workers.engine.routing import Route
from workers.jobs import Ending
from workers.monitoring.metrics.series import Counted
from workers.tracing import TraceContext

_LENGTH = struct.Struct(">I")


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Errand(_Frame):
    """To the child: run this job."""

    job: ExtractionJob
    job_id: str
    route: Route
    delivery: Delivery
    #: The worker's delivery, where that is traced.
    trace: TraceContext | None = None


class Answer(_Frame):
    """From the child: exactly one is set, or none, which says that it is ready."""

    #: It has measured something, whenever that was.
    counted: Counted | None = None
    #: It has the errand and begins.
    begun: bool = False
    ending: Ending | None = None
    hand_off: HandOff | None = None
    park: Park | None = None
    collect: Collect | None = None
    #: Redis or the store is away: the class of the error.
    away: str | None = None
    #: Nobody foresaw it: the class of the error; the log says where.
    unforeseen: str | None = None


def send(stream: IO[bytes], frame: _Frame) -> None:
    """Write one document.

    Raises:
        OSError: nobody reads it.
    """
    text = frame.model_dump_json(exclude_unset=True).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one document; None when there are no more, be it in the middle of one."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    text = stream.read(length)
    return text if len(text) == length else None
