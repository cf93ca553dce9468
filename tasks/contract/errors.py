"""Errors that cross the contract.

    ContractError
    ├── JobRefused        the job never ran: its payload or its project is not acceptable
    └── ExtractionFailed  the job ran and ended `failed`, with a typed reason

Every class keeps its constructor arguments in `args`, so that it pickles and so that Celery's JSON result
carries them: a foreign reader finds `exc_message = [message, {…failure…}]`.
"""

from enum import StrEnum
from typing import Any


class FailureCode(StrEnum):
    """Why a job was refused or ended `failed`."""

    INVALID_JOB = "invalid_job"
    UNKNOWN_PROJECT = "unknown_project"
    NO_CONNECTION = "no_connection"
    #: It is not signed by a producer that may speak for its project, where the pool asks for that.
    SIGNATURE_REFUSED = "signature_refused"
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_EXPIRED = "credential_expired"
    CREDENTIAL_MISSING = "credential_missing"
    PERMISSION_DENIED = "permission_denied"
    MODEL_NOT_FOUND = "model_not_found"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    #: A spend cap of our own is reached; never the vendor's doing, and never to be retried like a rate limit.
    BUDGET_EXCEEDED = "budget_exceeded"
    #: Too many jobs of the project wait already.
    BACKLOG_FULL = "backlog_full"
    #: An operator ended it.
    CANCELLED = "cancelled"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_TIMEOUT = "provider_timeout"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_REFUSED = "content_refused"
    OUTPUT_TRUNCATED = "output_truncated"
    OUTPUT_UNUSABLE = "output_unusable"
    #: Workers that tried it died of it, again and again.
    QUARANTINED = "quarantined"
    INTERNAL = "internal"


class ContractError(Exception):
    """Base of all errors that cross the contract."""

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message, details or {})

    @property
    def message(self) -> str:
        """What happened, to which project and connection, and what to do."""
        return str(self.args[0])

    @property
    def details(self) -> dict[str, Any]:
        """The same as data; never episode text, never a secret."""
        return dict(self.args[1])

    @property
    def code(self) -> FailureCode | str:
        """The typed reason; plain text if a newer worker gave one that is not known here."""
        code = str(self.details.get("code", FailureCode.INTERNAL))
        try:
            return FailureCode(code)
        except ValueError:
            return code

    def __str__(self) -> str:
        return self.message


class JobRefused(ContractError):
    """The job was not accepted: its payload, or the configuration of its project, is not usable."""


class ExtractionFailed(ContractError):
    """The job ran and ended `failed`; `details` is a `Failure` as JSON."""
