"""The states of a credential's versions, and what leads from one to the next. Pure.

pending ─► active ─► disabled ─► deleted

At most one version is active. Activating one disables the one that was active before: it is used for no new call, and
can be activated again if the new one turns out bad. Numbers are never given twice.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from config.errors import InvalidCredential

#: Rows of deleted versions that are kept, and versions that are not deleted at once: a parameter has room for 4 KB.
KEPT_DELETED: Final = 3
MOST_VERSIONS: Final = 8
#: Characters of a reason and of a name that are kept.
_REASON_CHARS: Final = 200
_NAME_CHARS: Final = 64


class CredentialState(StrEnum):
    """Where a version is in its life."""

    #: Added, and used for nothing but verification.
    PENDING = "pending"
    #: What calls are made with.
    ACTIVE = "active"
    #: Used for nothing; can be activated again.
    DISABLED = "disabled"
    #: Its secret is gone; the row stays for a while, the number is never given again.
    DELETED = "deleted"


class Operation(StrEnum):
    """What can be done with a version."""

    ACTIVATE = "activate"
    DISABLE = "disable"
    DELETE = "delete"
    #: As `DELETE`, by somebody who knows that it is active.
    DELETE_FORCED = "delete --force"


_S, _O = CredentialState, Operation

#: State and operation → the state after it. What is not here is refused. An operation that finds its work done changes
#: nothing, so that each can be repeated after a failure.
TRANSITIONS: Final = MappingProxyType(
    {
        (_S.PENDING, _O.ACTIVATE): _S.ACTIVE,
        (_S.PENDING, _O.DISABLE): _S.DISABLED,
        (_S.PENDING, _O.DELETE): _S.DELETED,
        (_S.PENDING, _O.DELETE_FORCED): _S.DELETED,
        (_S.ACTIVE, _O.ACTIVATE): _S.ACTIVE,
        (_S.ACTIVE, _O.DISABLE): _S.DISABLED,
        (_S.ACTIVE, _O.DELETE_FORCED): _S.DELETED,
        (_S.DISABLED, _O.ACTIVATE): _S.ACTIVE,
        (_S.DISABLED, _O.DISABLE): _S.DISABLED,
        (_S.DISABLED, _O.DELETE): _S.DELETED,
        (_S.DISABLED, _O.DELETE_FORCED): _S.DELETED,
        (_S.DELETED, _O.DELETE): _S.DELETED,
        (_S.DELETED, _O.DELETE_FORCED): _S.DELETED,
    }
)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _at_most(characters: int) -> Any:
    return BeforeValidator(lambda value: value[:characters] if isinstance(value, str) else value)


class VersionFacts(_Document):
    """What is known of one version; never its secret."""

    state: CredentialState
    created_at: AwareDatetime
    created_by: Annotated[str, _at_most(_NAME_CHARS)]
    #: When the provider last accepted it; None when it never did, or a later try failed.
    verified_at: AwareDatetime | None = None
    #: When, by whom and why its state changed last, or why it did not work when it was verified.
    changed_at: AwareDatetime
    changed_by: Annotated[str, _at_most(_NAME_CHARS)]
    reason: Annotated[str | None, _at_most(_REASON_CHARS)] = None
    #: Tells secrets apart without showing them.
    fingerprint: str


class CredentialHistory(_Document):
    """All versions that a credential ever had."""

    #: The number that the next version gets.
    next: Annotated[int, Field(ge=1)] = 1
    active: int | None = None
    versions: dict[int, VersionFacts] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        active = [number for number, facts in self.versions.items() if facts.state is CredentialState.ACTIVE]
        if active != ([] if self.active is None else [self.active]):
            raise ValueError("active must name the one version that is active")
        if any(not 1 <= number < self.next for number in self.versions):
            raise ValueError("next must be greater than every number that was given")
        return self

    @property
    def left(self) -> list[int]:
        """Numbers of the versions that are not deleted, in their order."""
        return sorted(number for number, facts in self.versions.items() if facts.state is not CredentialState.DELETED)

    def with_new(self, facts: VersionFacts) -> "CredentialHistory":
        """The history with one more version, which gets the number `next`.

        Raises:
            InvalidCredential: there are too many versions already.
        """
        if len(self.left) >= MOST_VERSIONS:
            raise InvalidCredential(f"it has {len(self.left)} versions; delete those that are not needed any more")
        return CredentialHistory(next=self.next + 1, active=self.active, versions={**self.versions, self.next: facts})

    def after(
        self, operation: Operation, version: int, *, by: str, now: AwareDatetime, reason: str | None
    ) -> "CredentialHistory":
        """The history after an operation on a version that it has.

        Raises:
            InvalidCredential: the version is in a state in which this cannot be done.
        """
        before = self.versions[version]
        state = TRANSITIONS.get((before.state, operation))
        if state is None:
            raise InvalidCredential(_REFUSALS[before.state, operation])
        if state is before.state:
            return self
        changed = {"state": state, "changed_at": now, "changed_by": by, "reason": reason}
        versions = {**self.versions, version: _with(before, changed)}
        active = None if self.active == version else self.active
        if state is CredentialState.ACTIVE:
            if active is not None:
                replaced = {**changed, "state": CredentialState.DISABLED, "reason": f"version {version} was activated"}
                versions[active] = _with(self.versions[active], replaced)
            active = version
        for gone in _oldest_deleted(versions, but=version):
            del versions[gone]
        return CredentialHistory(next=self.next, active=active, versions=versions)

    def with_verification(self, version: int, *, now: AwareDatetime, problem: str | None) -> "CredentialHistory":
        """The history after a version was tried at its provider; `problem` says why it did not work."""
        noted = {"verified_at": None if problem else now, "reason": problem}
        return self.model_copy(update={"versions": {**self.versions, version: _with(self.versions[version], noted)}})

    def summary(self) -> str:
        """The versions that are left with their states, for messages."""
        return ", ".join(f"{number} ({self.versions[number].state.value})" for number in self.left) or "none"


def _with(facts: VersionFacts, changes: dict[str, Any]) -> VersionFacts:
    return VersionFacts.model_validate({**dict(facts), **changes})


def _oldest_deleted(versions: dict[int, VersionFacts], *, but: int) -> list[int]:
    """Rows of deleted versions beyond those that are kept; never that of the version that is being deleted."""
    deleted = [n for n, facts in versions.items() if facts.state is CredentialState.DELETED and n != but]
    deleted.sort(key=lambda number: versions[number].changed_at, reverse=True)
    return deleted[KEPT_DELETED - 1 :]


_GONE = "it is deleted and its secret is gone; add a new version"
_REFUSALS: Final = {
    (_S.DELETED, _O.ACTIVATE): _GONE,
    (_S.DELETED, _O.DISABLE): _GONE,
    (_S.ACTIVE, _O.DELETE): "it is active and calls are made with it; activate another version or disable it first, "
    "or add --force",
}
