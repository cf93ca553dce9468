"""What is done with credentials in the store. Safe against others who do something with the same one at the same time.

`<scope>/credentials/<name>` holds the states, `<scope>/secrets/<name>/<number>` each version's secret. A number is
reserved before its secret is written, and a version is marked deleted before its secret is removed: whenever a process
dies in between, no secret is without a row that tells of it, and repeating the operation completes it.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from config.connections.documents import connection_documents
from config.credentials.read import (
    fingerprint,
    flags,
    history_path,
    owner,
    read_history,
    secret_path,
    stripped,
)
from config.credentials.states import CredentialHistory, CredentialState, Operation, VersionFacts
from config.errors import CredentialMissing, InvalidCredential, StoreConflict, StoreError
from config.kms import kms_key_for
from config.store import ParameterStore, join_path

#: Tries to write over what others change at the same time.
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of one version."""

    version: int
    #: None for a version that is new.
    before: CredentialState | None
    after: CredentialState
    fingerprint: str
    #: The version that this one took the place of, and which is disabled now.
    replaced: int | None = None


def add_credential(
    store: ParameterStore,
    scope: str,
    name: str,
    secret: SecretStr,
    *,
    by: str,
    now: datetime,
    reason: str | None = None,
) -> Changed:
    """Add a version, which is pending until it is activated. Creates the credential if it is new.

    Args:
        store: where.
        scope: path of the project or account that the credential belongs to.
        name: of the credential.
        secret: spaces around it are not part of it.
        by: who does it.
        now: when.
        reason: why.

    Raises:
        CredentialMissing: the secret is empty; nothing was written.
        InvalidCredential: the credential is stored damaged, or has too many versions.
        StoreError: this cannot be the name of a credential, or the store cannot be written.
    """
    secret = stripped(secret)
    if not secret.get_secret_value():
        raise CredentialMissing(f"the credential '{name}' for {owner(scope)} is empty; nothing was saved")
    facts = VersionFacts(
        state=CredentialState.PENDING,
        created_at=now,
        created_by=by,
        changed_at=now,
        changed_by=by,
        reason=reason,
        fingerprint=fingerprint(secret),
    )

    def added(known: CredentialHistory | None) -> CredentialHistory:
        try:
            return (known or _first(store, scope, name)).with_new(facts)
        except InvalidCredential as error:
            raise InvalidCredential(f"cannot add to credential '{name}' of {owner(scope)}: {error}") from None

    kms_key = kms_key_for(store, scope)
    _, history = _update(store, scope, name, added)
    version = history.next - 1
    try:
        store.put(secret_path(scope, name, version), secret, secure=True, kms_key=kms_key)
    except StoreError:
        # The number is taken; nobody is to wonder where its secret is.
        with suppress(StoreError):
            _operate(store, scope, name, version, Operation.DELETE, by=by, now=now, reason="its secret was not written")
        raise
    return Changed(version=version, before=None, after=CredentialState.PENDING, fingerprint=facts.fingerprint)


def activate_credential(
    store: ParameterStore,
    scope: str,
    name: str,
    version: int,
    *,
    by: str,
    now: datetime,
    reason: str | None = None,
    force: bool = False,
) -> Changed:
    """Let calls be made with a version. The one that was active is disabled by the same write.

    Calls that are under way end with the secret that they began with; calls that begin after this use the new one.

    Args:
        store: where.
        scope: path of the project or account that the credential belongs to.
        name: of the credential.
        version: which.
        by: who does it.
        now: when.
        reason: why.
        force: activate it even though no provider has accepted it yet.

    Raises:
        CredentialMissing: there is no such credential or version, or its secret is gone.
        InvalidCredential: it is deleted, or not verified and not forced.
        StoreError: the store cannot be read or written.
    """
    if store.get(secret_path(scope, name, version)) is None:
        facts = _known(store, scope, name).versions.get(version)
        if facts is not None and facts.state is not CredentialState.DELETED:
            raise CredentialMissing(f"the secret of {_words(scope, name, version)} is not in the store; add a new one")

    def check(facts: VersionFacts) -> None:
        if facts.verified_at is None and facts.state is not CredentialState.ACTIVE and not force:
            why = f" ({facts.reason})" if facts.reason else ""
            raise InvalidCredential(
                f"it is not verified{why}; verify it with: byom credential verify {flags(scope, name)} "
                f"--version {version}, or add --force"
            )

    return _operate(store, scope, name, version, Operation.ACTIVATE, by=by, now=now, reason=reason, check=check)


def disable_credential(
    store: ParameterStore, scope: str, name: str, version: int, *, by: str, now: datetime, reason: str | None = None
) -> Changed:
    """Let no call be made with a version any more. It can be activated again.

    Raises:
        CredentialMissing: there is no such credential or version.
        InvalidCredential: it is deleted.
        StoreError: the store cannot be read or written.
    """
    return _operate(store, scope, name, version, Operation.DISABLE, by=by, now=now, reason=reason)


def delete_version(
    store: ParameterStore,
    scope: str,
    name: str,
    version: int,
    *,
    by: str,
    now: datetime,
    reason: str | None = None,
    force: bool = False,
) -> Changed:
    """Remove the secret of a version for good; what is known of it stays.

    Args:
        store: where.
        scope: path of the project or account that the credential belongs to.
        name: of the credential.
        version: which; one that is deleted already has its secret removed if that failed before.
        by: who does it.
        now: when.
        reason: why.
        force: delete it even though it is active.

    Raises:
        CredentialMissing: there is no such credential or version.
        InvalidCredential: it is active, and not forced.
        StoreError: the store cannot be read or written. If only the secret could not be removed, the message says so.
    """
    operation = Operation.DELETE_FORCED if force else Operation.DELETE
    changed = _operate(store, scope, name, version, operation, by=by, now=now, reason=reason)
    try:
        store.delete(secret_path(scope, name, version))
    except StoreError as error:
        raise StoreError(
            f"{_words(scope, name, version)} is marked deleted, but its secret may still be in the store; "
            f"delete it once more: {error}"
        ) from error
    return changed


def delete_credential(
    store: ParameterStore, scope: str, name: str, *, by: str, now: datetime, reason: str | None = None
) -> list[Changed]:
    """Delete all versions of a credential that no connection names. Their numbers are not given again.

    Returns:
        What became of those that were not deleted before.

    Raises:
        CredentialMissing: there is no such credential.
        InvalidCredential: connections name it; nothing was deleted.
        StoreError: the store cannot be read or written; repeating it deletes the rest.
    """
    history = _known(store, scope, name)
    if users := connections_naming(store, scope, name):
        raise InvalidCredential(
            f"the credential '{name}' of {owner(scope)} is named by the connections {', '.join(users)}; remove them or "
            "give them another credential first. Nothing was deleted"
        )
    for version in history.versions.keys() - history.left:
        # Of one that is deleted already, what may be left because it could not be removed then.
        store.delete(secret_path(scope, name, version))
    return [
        delete_version(store, scope, name, version, by=by, now=now, reason=reason, force=True)
        for version in history.left
    ]


def note_verification(
    store: ParameterStore, scope: str, name: str, version: int, *, now: datetime, problem: str | None
) -> None:
    """Note that a version was tried at its provider: it works, or `problem` says why not.

    Raises:
        CredentialMissing: there is no such credential or version.
        StoreError: the store cannot be read or written.
    """

    def noted(known: CredentialHistory | None) -> CredentialHistory:
        history = _having(known, scope, name, version)
        return history.with_verification(version, now=now, problem=problem)

    _update(store, scope, name, noted)


def save_credential(store: ParameterStore, scope: str, name: str, secret: SecretStr) -> Changed:
    """Add a version and activate it, whether it is verified or not; for stores that nobody audits.

    Raises:
        CredentialMissing: the secret is empty; nothing was written.
        StoreError: this cannot be the name of a credential, or the store cannot be written.
    """
    now = datetime.now(UTC)
    version = add_credential(store, scope, name, secret, by="byom", now=now).version
    return activate_credential(store, scope, name, version, by="byom", now=now, force=True)


def list_credentials(store: ParameterStore, scope: str) -> dict[str, CredentialHistory]:
    """Name → history of all credentials of a project or account, in the order of their names.

    Raises:
        InvalidCredential: one of them is stored damaged.
        StoreError: the store cannot be read.
    """
    found: dict[str, CredentialHistory] = {}
    for parameter in store.list(join_path(scope, "credentials"), secure=False):
        name = parameter.path.rsplit("/", 1)[1]
        found[name] = read_history(parameter, scope, name) or CredentialHistory()
    return found


def history_of(store: ParameterStore, scope: str, name: str) -> CredentialHistory | None:
    """All versions of one credential, or None when there is no such credential.

    Raises:
        InvalidCredential: it is stored damaged.
        StoreError: the store cannot be read, or this cannot be the name of a credential.
    """
    return read_history(store.get(history_path(scope, name)), scope, name)


def connections_naming(store: ParameterStore, scope: str, name: str) -> list[str]:
    """Names of the connections of the same level that name a credential.

    Raises:
        InvalidConnection: one of them is stored damaged.
        StoreError: the store cannot be read.
    """
    documents = connection_documents(store, scope)
    return sorted(connection for connection, document in documents.items() if document.get("credential") == name)


def _operate(
    store: ParameterStore,
    scope: str,
    name: str,
    version: int,
    operation: Operation,
    *,
    by: str,
    now: datetime,
    reason: str | None,
    check: Callable[[VersionFacts], None] = lambda _: None,
) -> Changed:
    def operated(known: CredentialHistory | None) -> CredentialHistory:
        history = _having(known, scope, name, version)
        try:
            changed = history.after(operation, version, by=by, now=now, reason=reason)
            check(history.versions[version])
        except InvalidCredential as error:
            raise InvalidCredential(f"cannot {operation.value} {_words(scope, name, version)}: {error}") from None
        return changed

    before, after = _update(store, scope, name, operated)
    facts = after.versions[version]
    replaced = before.active if before and after.active == version != before.active else None
    return Changed(
        version=version,
        before=before.versions[version].state if before else None,
        after=facts.state,
        fingerprint=facts.fingerprint,
        replaced=replaced,
    )


def _update(
    store: ParameterStore, scope: str, name: str, change: Callable[[CredentialHistory | None], CredentialHistory]
) -> tuple[CredentialHistory | None, CredentialHistory]:
    """Change a history by what `change` makes of it; what others write in between is seen, never overwritten.

    Returns:
        What was there, and what is there now.
    """
    path = history_path(scope, name)
    for _ in range(_TRIES):
        parameter = store.get(path)
        before = read_history(parameter, scope, name)
        after = change(before)
        if after == before:
            return before, after
        value = SecretStr(after.model_dump_json(exclude_none=True))
        with suppress(StoreConflict):
            store.put(path, value, secure=False, expected_version=parameter.version if parameter else 0)
            return before, after
    raise StoreConflict(
        f"the credential '{name}' of {owner(scope)} is being changed by others all the time; nothing was changed, try "
        "again"
    )


def _first(store: ParameterStore, scope: str, name: str) -> CredentialHistory:
    """A history without versions, which gives no number that a secret in the store already has."""
    below = join_path(scope, "secrets", name)
    numbers = [parameter.path.rsplit("/", 1)[1] for parameter in store.secrets(below)]
    return CredentialHistory(next=1 + max((int(number) for number in numbers if number.isdecimal()), default=0))


def _known(store: ParameterStore, scope: str, name: str) -> CredentialHistory:
    history = history_of(store, scope, name)
    if history is None:
        raise CredentialMissing(_unknown(scope, name))
    return history


def _having(history: CredentialHistory | None, scope: str, name: str, version: int) -> CredentialHistory:
    """The history, if it has that version.

    Raises:
        CredentialMissing: there is no such credential or version.
    """
    if history is None:
        raise CredentialMissing(_unknown(scope, name))
    if version not in history.versions:
        raise CredentialMissing(
            f"the credential '{name}' of {owner(scope)} has no version {version}; it has: {history.summary()}"
        )
    return history


def _unknown(scope: str, name: str) -> str:
    return (
        f"{owner(scope)} has no credential '{name}'; see: byom credential list {flags(scope, name).split(' --name')[0]}"
    )


def _words(scope: str, name: str, version: int) -> str:
    return f"version {version} of credential '{name}' of {owner(scope)}"
