"""Why work on a connection came to nothing, in words that say what to do. Pure."""

from dataclasses import dataclass

from config.connections import EffectiveConnection
from config.errors import ConfigError, CredentialMissing, InvalidConnection, UnknownModel, UnknownProject
from tasks.contract import ExtractionJob, Failure, FailureCode
from workers.outcome import Action, Decision, Scope
from workers.providers.base import Fault
from workers.routing import Route

_CONFIG_CODES: dict[type[ConfigError], FailureCode] = {
    UnknownProject: FailureCode.UNKNOWN_PROJECT,
    CredentialMissing: FailureCode.CREDENTIAL_MISSING,
    UnknownModel: FailureCode.MODEL_NOT_FOUND,
    InvalidConnection: FailureCode.NO_CONNECTION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A job on its way through one connection."""

    job: ExtractionJob
    job_id: str
    route: Route
    effective: EffectiveConnection

    @property
    def where(self) -> str:
        """For messages: which project and connection this is about."""
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
    #: Whether another connection might do better.
    falls_back: bool

    @classmethod
    def of_fault(cls, fault: Fault, decision: Decision, subject: Subject) -> "Trouble":
        """The last try ended with a fault; its row of the table says what follows."""
        return cls(
            code=decision.code,
            message=f"{subject.where}: {fault.message} {decision.mend}",
            scope=decision.scope,
            falls_back=decision.action is not Action.FAIL and decision.then is not Action.FAIL,
        )

    @classmethod
    def of_configuration(cls, error: ConfigError) -> "Trouble":
        """Nothing was called: the connection is not usable as it is configured."""
        code = _CONFIG_CODES.get(type(error), FailureCode.NO_CONNECTION)
        return cls(code=code, message=str(error), scope=Scope.CONNECTION, falls_back=True)

    def as_failure(self, job: ExtractionJob, route: Route, *, episode_id: str | None = None) -> Failure:
        """The same for the caller."""
        return Failure(
            code=self.code,
            message=self.message,
            project=job.project,
            provider=route.provider,
            connection=route.connection,
            model=route.model,
            episode_id=episode_id,
        )
