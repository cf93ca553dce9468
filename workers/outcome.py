"""What follows from a fault: one pure table. No I/O, no clock, no state.

`decide` takes a `Fault` and answers with a `Decision`; the engine carries it out. The table is printed in
`docs/errors.md`, and a test keeps the two equal.
"""

from dataclasses import dataclass
from enum import StrEnum

from tasks.contract import FailureCode
from workers.providers.base import Fault, FaultKind


class Action(StrEnum):
    """What the engine does next."""

    #: Call the same model again, after the wait that the vendor asks for or a short backoff.
    RETRY = "retry"
    #: Call again with a larger output cap.
    RETRY_LARGER = "retry_larger"
    #: Call again with a reminder of what was wrong.
    RETRY_REMINDED = "retry_reminded"
    #: Read the credential again; if it changed call again, else fall back.
    REFRESH_CREDENTIAL = "refresh_credential"
    #: Resubmit to the next connection.
    FALL_BACK = "fall_back"
    #: End the job (or the episode): no other model would do better.
    FAIL = "fail"


class Scope(StrEnum):
    """What a fault speaks of."""

    #: The connection: every other episode would meet the same.
    CONNECTION = "connection"
    #: This episode only.
    EPISODE = "episode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the table."""

    action: Action
    #: Tries of the same call in all, the first included; when they are used up, `then` follows.
    tries: int = 1
    then: Action = Action.FALL_BACK
    code: FailureCode
    scope: Scope = Scope.CONNECTION
    #: Why this action is right.
    why: str
    #: What the operator can do.
    mend: str


TABLE: dict[FaultKind, Decision] = {}


def decide(fault: Fault) -> Decision:
    """The row for a fault; every kind has exactly one."""
    return TABLE[fault.kind]
