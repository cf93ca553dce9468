"""What a message says of the lane it belongs to; not trusted before it was read here."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.contract import ENTRY_QUEUE
from workers.lanes.keys import LaneName

#: Name of the message header.
HEADER = "byom"

#: Names become parts of keys and of lines of text.
_Name = Annotated[str, Field(min_length=1, max_length=1_024, pattern=r"^[^\x00-\x1f\x7f{}]+$")]
_Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
#: A year; nobody waits longer.
_LONGEST = 31_536_000.0

#: What delivery tags of sessions begin with, so that all others cost no look.
_OF_SESSION = "session-"

_PLAIN = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_TAG = re.compile(r"[!-~]{1,255}")


def is_of_session(tag: str) -> bool:
    """Whether the message with this delivery tag is of a session."""
    return tag.startswith(_OF_SESSION)


class LaneHeader(BaseModel):
    """Who waits for what. Anything out of bounds makes the whole header void."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)

    meter: _Name
    tenant: _Name
    project: _Name
    connection: Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    priority: Literal["live", "backfill"]
    #: Share of the project; absent: whatever was last said of it.
    weight: Annotated[float, Field(ge=0.001, le=1_000, allow_inf_nan=False)] | None = None
    #: Estimated tokens of all calls of the job: prompts, and answers where these are known.
    input: _Tokens
    output: _Tokens = 0
    calls: Annotated[int, Field(ge=1, le=100_000)]
    #: Seconds that the job waits before it is handed out unpaid, to go elsewhere or to fail.
    patience: Annotated[float, Field(ge=0, le=_LONGEST, allow_inf_nan=False)]
    #: Whether there is another connection to go on to when this one is ill.
    fallback: bool = False
    #: Jobs of one session go one after another.
    session: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None

    @classmethod
    def of(cls, message: Any, *, queue: str) -> Self | None:
        """The header of a kombu message that goes to `queue`; None if it belongs in no lane.

        What comes from outside belongs in none, whatever it says: it has not been examined yet.
        """
        if queue == ENTRY_QUEUE:
            return None
        try:
            told = message["headers"][HEADER]
            tag = message["properties"]["delivery_tag"]
            if not (isinstance(tag, str) and _TAG.fullmatch(tag) and _PLAIN.fullmatch(queue)):
                return None
            return cls.model_validate(told)
        except (KeyError, TypeError, ValidationError):
            return None

    def as_headers(self) -> dict[str, Any]:
        """The headers of a message that belongs in this lane."""
        return {HEADER: self.model_dump(exclude_none=True)}

    @property
    def session_name(self) -> str:
        """The session as the scripts know it; empty where there is none."""
        return "" if self.session is None else f"{self.project}\t{self.session}"

    def tag(self, tag: str) -> str:
        """The delivery tag of a message that has this header: it says whether the message is of a session."""
        return tag if self.session is None or is_of_session(tag) else f"{_OF_SESSION}{tag}"

    def lane(self, queue: str) -> LaneName:
        """The lane on a queue."""
        return LaneName(queue, self.priority, self.tenant, self.meter, self.project)

    def label(self, tag: str) -> str:
        """What the scripts read of a job; they put the time before it."""
        return f"{self.input} {self.output} {self.calls} {self.patience:.3f} {int(self.fallback)} {tag}"
