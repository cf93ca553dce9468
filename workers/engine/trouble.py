"""Why work on a connection came to nothing, in words that say what to do. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Self

from config.catalogue import ModelFacts
from config.connections import EffectiveConnection
from config.errors import (
    ConfigError,
    CredentialDisabled,
    CredentialMissing,
    CredentialRefused,
    UnknownModel,
    UnknownProject,
)
from tasks.contract import ExtractionJob, Failure, FailureCode
from workers.admission import Reason, Refusal
from workers.alerts import Alert, AlertKind
from workers.engine.outcome import Decision, Scope, Waits, may_pass
from workers.engine.routing import Route
from workers.providers.base import Fault, FaultKind

_CONFIG_CODES: dict[type[ConfigError], FailureCode] = {
    UnknownProject: FailureCode.UNKNOWN_PROJECT,
    CredentialMissing: FailureCode.CREDENTIAL_MISSING,
    CredentialDisabled: FailureCode.CREDENTIAL_MISSING,
    CredentialRefused: FailureCode.CREDENTIAL_REJECTED,
    UnknownModel: FailureCode.MODEL_NOT_FOUND,
}


#: Seconds until another try of what failed without a word on when to come back.
_RETRY_SECONDS = 15.0

#: The longest that a job without leave stays away from its meter, in seconds. Whoever fetches asks the meter anyway,
#: which knows better by then: what was set aside may have come back, or somebody may have raised the limit.
_LOOK_AGAIN = 1.0

#: What a job waits for after a fault; after all others, for the connection to be well again.
_REASONS: dict[FaultKind, Reason] = {
    FaultKind.RATE_LIMITED: Reason.RETRY_AFTER,
    FaultKind.CREDENTIAL_REJECTED: Reason.CREDENTIAL,
    FaultKind.CREDENTIAL_EXPIRED: Reason.CREDENTIAL,
}


class _Told(NamedTuple):
    """What becomes of a job that is refused leave for longer than its patience, and what to do."""

    code: FailureCode
    what: str


_REFUSALS: dict[Reason, _Told] = {
    Reason.TOKENS: _Told(
        FailureCode.RATE_LIMITED,
        "its token limit left no room for this job in time. Raise its TPM if the vendor grants more, or add a "
        "fallback.",
    ),
    Reason.REQUESTS: _Told(
        FailureCode.RATE_LIMITED,
        "its request limit left no room for this job in time. Raise its RPM if the vendor grants more, or add a "
        "fallback.",
    ),
    Reason.CONCURRENCY: _Told(
        FailureCode.RATE_LIMITED,
        "as many calls as it allows were in flight all the time. Raise its max_concurrency, or add a fallback.",
    ),
    Reason.RETRY_AFTER: _Told(
        FailureCode.RATE_LIMITED,
        "the vendor asked to wait longer than this job may. Lower the connection's TPM to what the vendor grants, or "
        "ask the vendor for more.",
    ),
    Reason.BREAKER: _Told(
        FailureCode.PROVIDER_UNAVAILABLE,
        "it kept failing and is left alone until a trial call succeeds. See `byom limits show`, and give the project "
        "a fallback.",
    ),
    Reason.CREDENTIAL: _Told(
        FailureCode.CREDENTIAL_REJECTED,
        "the vendor refuses its credential. Save and activate a valid one; waiting jobs go on at once.",
    ),
    Reason.BUDGET: _Told(
        FailureCode.BUDGET_EXCEEDED, "a spend cap is reached. Raise it, or wait for the next day or month."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A job on its way through one connection."""

    job: ExtractionJob
    job_id: str
    route: Route
    effective: EffectiveConnection
    model: ModelFacts
    #: Whether there is no connection left to fall back to.
    last: bool
    #: Whether the job has waited for this connection as long as it is meant to.
    impatient: bool = False
    #: Seconds from joining the lane of this connection to this delivery.
    waited: float = 0.0
    #: Whether this delivery surely has the job in hand; another may have taken it while this one stood still.
    in_hand: Callable[[], bool] = field(default=lambda: True, compare=False)

    def waits(self, how: Waits) -> bool:
        """Whether the job goes back to its lane rather than on, or to its end."""
        return not self.impatient and (how is Waits.ALWAYS or (how is Waits.WHEN_LAST and self.last))

    @property
    def where(self) -> str:
        """Whom messages speak of."""
        connection = self.effective.connection
        return (
            f"project '{self.job.project}', connection '{connection.name}' "
            f"({connection.provider.value}, {connection.model})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a unit, or the whole connection, did not yield memories, after all tries in place."""

    code: FailureCode
    #: What happened, to which project and connection, and what to do.
    message: str
    scope: Scope
    #: Whether the job waits before this takes effect, for what, and how long until another try is worth it.
    waits: Waits = Waits.NEVER
    reason: Reason | None = None
    seconds: float = 0.0

    @property
    def waits_for_budget(self) -> bool:
        """Whether a spend cap is all that it waits for: that ends with the day or the month, not with its patience."""
        return self.reason is Reason.BUDGET and self.waits is not Waits.NEVER

    @classmethod
    def of_fault(cls, fault: Fault, decision: Decision, subject: Subject) -> Self:
        """The last try ended with a fault; its row of the table says what follows."""
        return cls(
            code=decision.code,
            message=f"{subject.where}: {fault.message} {decision.mend}",
            scope=decision.scope,
            waits=decision.waits,
            reason=_REASONS.get(fault.kind, Reason.BREAKER),
            seconds=_RETRY_SECONDS if fault.retry_after is None else fault.retry_after,
        )

    @classmethod
    def of_refusal(cls, refusal: Refusal, subject: Subject) -> Self:
        """Nothing was called: the connection may not be called now."""
        told = _REFUSALS[refusal.reason]
        code = refusal.code or told.code
        if refusal.reason in {Reason.BREAKER, Reason.CREDENTIAL}:
            waits = Waits.WHEN_LAST if may_pass(code) else Waits.NEVER
        else:
            waits = Waits.NEVER if refusal.final else Waits.ALWAYS
        return cls(
            code=code,
            message=f"{subject.where}: {told.what}",
            scope=Scope.CONNECTION,
            waits=waits,
            reason=refusal.reason,
            # Budgets are not asked when a job is fetched: there the wait is the whole truth.
            seconds=refusal.wait if refusal.reason is Reason.BUDGET else min(refusal.wait, _LOOK_AGAIN),
        )

    @classmethod
    def of_configuration(cls, error: ConfigError) -> Self:
        """Nothing was called: the connection is not usable as it is configured."""
        code = _CONFIG_CODES.get(type(error), FailureCode.NO_CONNECTION)
        return cls(code=code, message=str(error), scope=Scope.CONNECTION)

    @classmethod
    def of_refused_credential(cls, subject: Subject) -> Self:
        """Nothing was called: the vendor has refused this version of the credential a short while ago."""
        trouble = cls.of_refusal(Refusal(reason=Reason.CREDENTIAL, wait=_RETRY_SECONDS), subject)
        # Only this process knows of it; the meter may let the job through again at once.
        return replace(trouble, seconds=_RETRY_SECONDS)

    def parks(self, subject: Subject) -> bool:
        """Whether the job goes back to its lane before this takes effect."""
        return self.waits_for_budget or subject.waits(self.waits)

    def as_failure(self, job: ExtractionJob, route: Route) -> Failure:
        """The same for the caller, with what was tried before."""
        before = ", ".join(f"'{hop.connection}' ({hop.code.value})" for hop in route.history)
        return Failure(
            code=self.code,
            message=f"{self.message} Tried before: {before}." if before else self.message,
            project=job.project,
            provider=route.provider,
            connection=route.connection,
            model=route.model,
        )


def credential_alert(subject: Subject, version: int, code: FailureCode, *, at: datetime) -> Alert:
    """What an operator must know when a vendor refuses the newest version of a credential."""
    connection = subject.effective.connection
    return Alert(
        kind=AlertKind.CREDENTIAL_REFUSED,
        at=at,
        message=f"{subject.where}: the vendor refuses version {version} of credential '{connection.credential}' "
        f"({code.value}). Save and activate a valid one; waiting jobs go on at once.",
        account=subject.effective.account,
        project=subject.job.project,
        connection=connection.name,
        provider=connection.provider,
        model=connection.model,
        code=code,
        credential_version=version,
    )
