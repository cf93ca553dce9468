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
    #: Call again at the vendor's standard tier.
    RETRY_STANDARD = "retry_standard"
    #: Read the credential again; if it changed call again, else fall back.
    REFRESH_CREDENTIAL = "refresh_credential"
    #: Resubmit to the next connection; where there is none, the job (or the episode) fails.
    FALL_BACK = "fall_back"


class Scope(StrEnum):
    """What a fault speaks of."""

    #: The connection: every other episode would meet the same.
    CONNECTION = "connection"
    #: This episode only.
    EPISODE = "episode"


class Waits(StrEnum):
    """Whether a job waits in its lane when the tries in place are used up."""

    #: It falls back at once; where there is no fallback, it fails.
    NEVER = "no"
    #: Only where there is nothing to fall back to, for `BYOM_MAX_WAIT`; then it fails.
    WHEN_LAST = "without a fallback"
    #: For `BYOM_FALLBACK_PATIENCE`, then it falls back; where there is no fallback, for `BYOM_MAX_WAIT`.
    ALWAYS = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the table."""

    action: Action
    #: Tries of the same call in all, the first included; when they are used up, the job falls back.
    tries: int = 1
    #: The same where there is no connection left to fall back to: then a bad chance is better than none.
    tries_when_last: int | None = None
    waits: Waits = Waits.NEVER
    code: FailureCode
    scope: Scope = Scope.CONNECTION
    #: Why this action is right.
    why: str
    #: What the operator can do.
    mend: str


_UNAVAILABLE = (
    "Nothing to do if it passes; if it lasts, look at the vendor's status page and give the project a fallback."
)

TABLE: dict[FaultKind, Decision] = {
    FaultKind.CONNECT: Decision(
        action=Action.RETRY,
        tries=3,
        waits=Waits.WHEN_LAST,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="Nothing was sent, so nothing was billed; such faults pass in moments or not at all.",
        mend="Check that the worker can reach the provider: host name, firewall, certificate.",
    ),
    FaultKind.READ: Decision(
        action=Action.RETRY,
        tries=3,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="A broken connection says nothing about the next; the lost answer may be billed, so tries are few.",
        mend=_UNAVAILABLE,
    ),
    FaultKind.TIMEOUT: Decision(
        action=Action.RETRY,
        tries=2,
        code=FailureCode.PROVIDER_TIMEOUT,
        why="The vendor worked on it and may bill it, and the time is gone: once more, no oftener.",
        mend="Raise BYOM_CALL_TIMEOUT, send shorter episodes, or choose a faster model.",
    ),
    FaultKind.UNAVAILABLE: Decision(
        action=Action.RETRY,
        tries=3,
        waits=Waits.WHEN_LAST,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="Server errors are not billed and mostly pass at once.",
        mend=_UNAVAILABLE,
    ),
    FaultKind.OVERLOADED: Decision(
        action=Action.FALL_BACK,
        tries_when_last=4,
        waits=Waits.WHEN_LAST,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="An overloaded model stays so for minutes, and every retry adds to its load. Without a fallback: some.",
        mend=_UNAVAILABLE,
    ),
    FaultKind.RATE_LIMITED: Decision(
        action=Action.RETRY,
        tries=3,
        waits=Waits.ALWAYS,
        code=FailureCode.RATE_LIMITED,
        why="The vendor says when to come back. A wait longer than BYOM_PATIENCE is spent in the lane, not here.",
        mend="Lower the connection's TPM to what the vendor grants, or ask the vendor for more.",
    ),
    FaultKind.TIER_UNAVAILABLE: Decision(
        action=Action.RETRY_STANDARD,
        tries=2,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="Vendors serve the cheap tier only while they have room, and bill nothing when they have none; the "
        "standard tier of the same connection takes the call at once.",
        mend="Nothing to do: only the saving is lost. If it happens often, send economy jobs at another time of day.",
    ),
    FaultKind.QUOTA_EXHAUSTED: Decision(
        action=Action.FALL_BACK,
        waits=Waits.WHEN_LAST,
        code=FailureCode.QUOTA_EXHAUSTED,
        why="Money or a daily quota is used up; no try brings it back, but the account's owner may.",
        mend="Add credit or raise the spend limit in the vendor's console.",
    ),
    FaultKind.CREDENTIAL_REJECTED: Decision(
        action=Action.REFRESH_CREDENTIAL,
        tries=2,
        waits=Waits.WHEN_LAST,
        code=FailureCode.CREDENTIAL_REJECTED,
        why="The key may have been rotated a moment ago; the newest one gets one try.",
        mend="Check the key in the vendor's console and save a valid one; workers use it at once.",
    ),
    FaultKind.CREDENTIAL_EXPIRED: Decision(
        action=Action.REFRESH_CREDENTIAL,
        tries=2,
        waits=Waits.WHEN_LAST,
        code=FailureCode.CREDENTIAL_EXPIRED,
        why="A newer credential or a fresh token may be there already; it gets one try.",
        mend="Save a new credential; workers use it at once.",
    ),
    FaultKind.PERMISSION_DENIED: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.PERMISSION_DENIED,
        why="The key is valid but may not do this; no retry changes that.",
        mend="Give the key the permission that the provider's page in the docs names, or lift the region or IP rule.",
    ),
    FaultKind.MODEL_NOT_FOUND: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.MODEL_NOT_FOUND,
        why="The model is retired, misspelt or not open to this key; every other episode would meet the same.",
        mend="Choose a model that the key may use, and check the connection's base URL.",
    ),
    FaultKind.ENDPOINT_INVALID: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.PROVIDER_UNAVAILABLE,
        why="The address may not be called, or something else answers there; every other episode would meet the same.",
        mend="Correct the connection's base URL.",
    ),
    FaultKind.CONTEXT_TOO_LONG: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.CONTEXT_TOO_LONG,
        scope=Scope.EPISODE,
        why="This model never takes it; one with a larger context may.",
        mend="Split the episode, or add a fallback whose model has a larger context.",
    ),
    FaultKind.BAD_REQUEST: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.BAD_REQUEST,
        scope=Scope.EPISODE,
        why="The same request fails again, but each provider gets a request of its own making: what one refuses "
        "(a field, a schema, a character) another may take, and a refused request is not billed. It may be this "
        "episode's doing, so the connection stays in use.",
        mend="If all episodes fail so, the model does not take structured output: choose one of the catalogue.",
    ),
    FaultKind.REFUSED: Decision(
        action=Action.FALL_BACK,
        code=FailureCode.CONTENT_REFUSED,
        scope=Scope.EPISODE,
        why="The same model refuses again and bills again; another vendor draws the line elsewhere.",
        mend="Look at the episode; relax the content filter where the provider has one.",
    ),
    FaultKind.TRUNCATED: Decision(
        action=Action.RETRY_LARGER,
        tries=2,
        code=FailureCode.OUTPUT_TRUNCATED,
        scope=Scope.EPISODE,
        why="The answer was good as far as it went; it needs more room. Once, since each try is billed in full.",
        mend="Send shorter episodes, or choose a model with a larger output limit.",
    ),
    FaultKind.EMPTY: Decision(
        action=Action.RETRY_REMINDED,
        tries=2,
        code=FailureCode.OUTPUT_UNUSABLE,
        scope=Scope.EPISODE,
        why="Models answer nothing now and then; a reminder mostly helps. Once, since each try is billed.",
        mend="If it happens often, choose a more capable model.",
    ),
    FaultKind.MALFORMED: Decision(
        action=Action.RETRY_REMINDED,
        tries=2,
        code=FailureCode.OUTPUT_UNUSABLE,
        scope=Scope.EPISODE,
        why="Small models slip; told what was wrong, they mostly mend it. Once, since each try is billed.",
        mend="If it happens often, choose a more capable model, and check that the base URL is the provider's API.",
    ),
}


def decide(fault: Fault) -> Decision:
    """The row for a fault; every kind has exactly one."""
    return TABLE[fault.kind]


def may_pass(code: FailureCode | None) -> bool:
    """Whether what a connection is left alone for may pass by itself or by an operator's hand, so that jobs wait."""
    return any(row.waits is not Waits.NEVER for row in TABLE.values() if row.code is code)
