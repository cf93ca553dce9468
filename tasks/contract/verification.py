"""The request to verify connections, for control planes."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import FailureCode, JobRefused
from .fields import Identifier
from .problems import problems


class VerificationRequest(BaseModel):
    """Which connections of a project are to be tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: The project whose connections are tried.
    project: Identifier
    #: Only this one; absent means all.
    connection: Identifier | None = None
    #: A version of that connection's credential, active or not; absent means the active one.
    credential_version: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.credential_version is not None and self.connection is None:
            raise ValueError("credential_version needs connection: versions are numbered per credential")
        return self


def parse_verification(payload: Any) -> VerificationRequest:
    """Validate a request from outside.

    Raises:
        JobRefused: with one line per problem (field, what is wrong) and never the value.
    """
    try:
        return VerificationRequest.model_validate(payload)
    except ValidationError as error:
        lines = [str(problem) for problem in problems(error, whole="request")]
    message = f"The verification was refused: {'; '.join(lines)}. Mend the payload and send it again."
    raise JobRefused(message, {"code": FailureCode.INVALID_JOB, "problems": lines})
