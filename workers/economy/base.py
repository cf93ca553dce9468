"""The pool: jobs that wait for a batch, and the batches that are under way.

    collected ─► waiting ─► in a batch ─► given back
                    └──────────────────────▲

A job leaves the unacknowledged messages for the pool and the pool for its lane in one step each: at any moment it is in
exactly one of the three. Batches are written down before they are sent, and each change of one is refused if somebody
else has changed it since it was read: two keepers of one line, which the lease rules out but for accidents, cannot
undo each other's steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from tasks.contract import ProviderKind
from workers.economy.keys import Line


class State(StrEnum):
    """How far a batch has come."""

    #: Gathered, not sent; or the vendor did not take it, and will be asked again.
    READY = "ready"
    #: Being sent: the vendor may have it or not.
    SENDING = "sending"
    #: The vendor has it.
    OPEN = "open"
    #: Its results are taken; what the vendor keeps of it is to be deleted.
    READ = "read"
    #: Nothing is left to do.
    CLOSED = "closed"


class Item(BaseModel):
    """One call of a batch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    #: What the vendor calls it, and our usage record of it.
    id: str
    job_id: str
    #: Indexes of the units that the call is about.
    units: tuple[int, ...]
    #: `hop.unit.try`.
    attempt: str


class Batch(BaseModel):
    """One batch. Times are seconds since 1970 by the clock of whoever wrote them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    #: Random, so that neither it nor the ids of its items can be guessed.
    id: str
    project: str
    connection: str
    provider: ProviderKind
    model: str
    prompt_version: str
    state: State = State.READY
    jobs: int
    items: int
    created_at: float
    #: When the last try to send it began.
    sent_at: float | None = None
    #: What the vendor calls it.
    vendor_id: str | None = None
    credential_version: int | None = None
    #: When to turn to it again, and how often that was done in this state.
    next_at: float = 0
    looks: int = 0
    #: Since when the vendor gives no good answer, and what it last said.
    trouble_since: float | None = None
    trouble: str | None = None
    #: What is set aside of the budgets for it, in pico-USD, and on which day (days since 1970).
    reserved: int = 0
    day: int = 0
    #: How often somebody began to take its results.
    reads: int = 0
    #: Whether the vendor was asked to end it early.
    cancelling: bool = False
    ended_at: float | None = None
    #: What came of its items: `succeeded`, `failed`, `expired`, `cancelled`.
    outcome: dict[str, int] = {}

    @property
    def line(self) -> Line:
        """The line that it belongs to."""
        return Line(self.project, self.connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A batch as it was read."""

    batch: Batch
    revision: int
    #: Whether an operator asked to end it.
    cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job in the pool."""

    job_id: str
    #: Seconds of the pool's clock.
    since: float
    #: kombu's message; of a job that came twice, the first.
    message: dict[str, Any] = field(repr=False)


class Moved(Exception):
    """Somebody else has changed the batch since it was read; nothing was changed."""


class Pool(Protocol):
    """Where jobs wait and batches are written down. All methods raise `redis.RedisError` when it cannot be reached."""

    async def now(self) -> float:
        """Seconds since 1970 by the pool's clock."""

    async def lines(self) -> list[Line]:
        """The lines in which jobs wait or batches are under way."""

    async def hold(self, line: Line, *, owner: str, seconds: float) -> bool:
        """Look after a line for so long, or longer; False if somebody else does."""

    async def let_go(self, line: Line, *, owner: str) -> None:
        """Look after a line no more."""

    async def waiting(self, line: Line, *, most: int) -> list[Waiting]:
        """Jobs that wait, the oldest first, at most so many."""

    async def count(self, line: Line) -> tuple[int, float | None]:
        """How many jobs wait, and since when the first does."""

    async def job(self, job_id: str, *, batch_id: str) -> Waiting | None:
        """A job of a batch; None if it was given back."""

    async def begin(self, batch: Batch, items: Sequence[Item]) -> Held | None:
        """Make a batch of jobs that wait, all or none; None if one of them does not wait any more."""

    async def batches(self, line: Line) -> list[Held]:
        """The batches of a line that are not over, the oldest first."""

    async def items(self, batch_id: str) -> list[Item]:
        """The items of a batch, in the order in which they are sent."""

    async def update(self, held: Held, batch: Batch) -> Held:
        """Write down where a batch stands; one in state `CLOSED` is over.

        Raises:
            Moved: somebody else has changed it since it was read.
        """

    async def give_back(self, job_id: str, *, batch_id: str | None, done: bool) -> bool:
        """Put a job back to the head of its lane; False if it was done already.

        Args:
            job_id: the job.
            batch_id: the batch that it is in; None for one that waits.
            done: whether no call is left to make, so that its meter need not pay for it.
        """
