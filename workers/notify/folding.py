"""Which failed attempts become which event: one pure table."""

from dataclasses import dataclass
from typing import NamedTuple

from tasks.contract import AttemptRecord, FailureCode
from tasks.contract.events import EventKind, RequestCode


class Folds(NamedTuple):
    """The event into which occurrences are folded."""

    kind: EventKind
    code: RequestCode | None = None


_RATE_LIMITED = Folds(EventKind.RATE_LIMITED)
_INVALID = Folds(EventKind.REQUEST_FAILED, RequestCode.CREDENTIALS_INVALID)
_EXPIRED = Folds(EventKind.REQUEST_FAILED, RequestCode.CREDENTIALS_EXPIRED)
_UNAVAILABLE = Folds(EventKind.REQUEST_FAILED, RequestCode.PROVIDER_UNAVAILABLE)
_UNSUPPORTED = Folds(EventKind.REQUEST_FAILED, RequestCode.MODEL_NOT_SUPPORTED)

#: Every code of a failure, and what it is folded into; None where it says nothing of the provider: it is the episode's
#: doing, our own, or known otherwise.
TABLE: dict[FailureCode, Folds | None] = {
    FailureCode.INVALID_JOB: None,
    FailureCode.UNKNOWN_PROJECT: None,
    FailureCode.NO_CONNECTION: None,
    # Has an event of its own.
    FailureCode.SIGNATURE_REFUSED: None,
    FailureCode.CREDENTIAL_REJECTED: _INVALID,
    FailureCode.CREDENTIAL_EXPIRED: _EXPIRED,
    FailureCode.CREDENTIAL_MISSING: _INVALID,
    # The key is good and may not do this: to its owner that is a key that does not work.
    FailureCode.PERMISSION_DENIED: _INVALID,
    FailureCode.MODEL_NOT_FOUND: _UNSUPPORTED,
    FailureCode.RATE_LIMITED: _RATE_LIMITED,
    # Not a rate limit: it does not pass by waiting a moment.
    FailureCode.QUOTA_EXHAUSTED: _UNAVAILABLE,
    # Has an event of its own.
    FailureCode.BUDGET_EXCEEDED: None,
    FailureCode.BACKLOG_FULL: None,
    FailureCode.CANCELLED: None,
    FailureCode.PROVIDER_UNAVAILABLE: _UNAVAILABLE,
    FailureCode.PROVIDER_TIMEOUT: _UNAVAILABLE,
    FailureCode.BAD_REQUEST: None,
    FailureCode.CONTEXT_TOO_LONG: None,
    FailureCode.CONTENT_REFUSED: None,
    FailureCode.OUTPUT_TRUNCATED: None,
    FailureCode.OUTPUT_UNUSABLE: None,
    FailureCode.QUARANTINED: None,
    FailureCode.INTERNAL: None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One thing that is folded with others of its kind, project, provider and model."""

    kind: EventKind
    error_code: RequestCode | None = None
    account: str | None = None
    project: str
    provider: str
    model: str
    #: The code of the failure.
    cause: str


def occurrence_of(record: AttemptRecord) -> Occurrence | None:
    """What an attempt adds to a window, if anything: a good one nothing, a failed one by its code."""
    try:
        found = TABLE[FailureCode(record.status)]
    except ValueError:
        return None
    if found is None:
        return None
    return Occurrence(
        kind=found.kind,
        error_code=found.code,
        account=record.account,
        project=record.project,
        provider=str(record.provider),
        model=record.model,
        cause=record.status,
    )
