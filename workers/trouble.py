"""Why work on a connection came to nothing, in words that say what to do. Pure."""

from dataclasses import dataclass
from typing import Self

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
from workers.outcome import Decision, Scope
from workers.providers.base import Fault
from workers.routing import Route

_CONFIG_CODES: dict[type[ConfigError], FailureCode] = {
    UnknownProject: FailureCode.UNKNOWN_PROJECT,
    CredentialMissing: FailureCode.CREDENTIAL_MISSING,
    CredentialDisabled: FailureCode.CREDENTIAL_MISSING,
    CredentialRefused: FailureCode.CREDENTIAL_REJECTED,
    UnknownModel: FailureCode.MODEL_NOT_FOUND,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a unit, or the whole connection, did not yield memories, after all tries in place."""

    code: FailureCode
    #: What happened, to which project and connection, and what to do.
    message: str
    scope: Scope

    @classmethod
    def of_fault(cls, fault: Fault, decision: Decision, subject: Subject) -> Self:
        """The last try ended with a fault; its row of the table says what follows."""
        connection = subject.effective.connection
        where = (
            f"project '{subject.job.project}', connection '{connection.name}' "
            f"({connection.provider.value}, {connection.model})"
        )
        return cls(code=decision.code, message=f"{where}: {fault.message} {decision.mend}", scope=decision.scope)

    @classmethod
    def of_configuration(cls, error: ConfigError) -> Self:
        """Nothing was called: the connection is not usable as it is configured."""
        code = _CONFIG_CODES.get(type(error), FailureCode.NO_CONNECTION)
        return cls(code=code, message=str(error), scope=Scope.CONNECTION)

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
