"""Reading the secret that a call is made with. Decrypted only here, and only when needed."""

import hashlib
from dataclasses import dataclass

from pydantic import SecretStr, ValidationError

from config.connections import EffectiveConnection
from config.credentials.states import CredentialHistory, CredentialState
from config.errors import CredentialDisabled, CredentialMissing, InvalidCredential
from config.store import Parameter, ParameterStore, join_path
from tasks.contract.problems import problems

#: Looks at a credential that changes while it is read: between the reads of its state and of its secret, its active
#: version may have been replaced and deleted.
_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret with its version; the secret is masked in repr."""

    secret: SecretStr
    version: int


def read_credential(store: ParameterStore, effective: EffectiveConnection) -> Credential | None:
    """The active version of a connection's credential, or None when the connection needs none.

    Raises:
        CredentialMissing: the connection names a credential that the store does not hold.
        CredentialDisabled: none of its versions is active.
        InvalidCredential: it is stored damaged.
    """
    name, scope = effective.connection.credential, scope_of(effective)
    if name is None:
        return None
    active = 0
    for _ in range(_LOOKS):
        history = read_history(store.get(history_path(scope, name)), scope, name)
        if history is None:
            raise CredentialMissing(
                f"{_subject(effective)} names the credential '{name}', which is not in the store; add it with: "
                f"byom credential add {flags(scope, name)} --activate --key-env NAME"
            )
        if history.active is None:
            raise CredentialDisabled(
                f"{_subject(effective)} names the credential '{name}', which has no active version (it has: "
                f"{history.summary()}); activate one with: byom credential activate {flags(scope, name)} --version N"
            )
        active = history.active
        secret = _secret(store, scope, name, active)
        if secret is not None:
            return Credential(secret=secret, version=active)
    raise CredentialMissing(_lost(scope, name, active))


def read_version(store: ParameterStore, effective: EffectiveConnection, version: int) -> Credential:
    """One version of a connection's credential, active or not; to try it before it is used.

    Raises:
        CredentialMissing: the connection names no credential, or its credential has no such version.
        InvalidCredential: it is stored damaged.
    """
    name, scope = effective.connection.credential, scope_of(effective)
    if name is None:
        raise CredentialMissing(f"{_subject(effective)} needs no credential, so there is no version {version} of it")
    history = read_history(store.get(history_path(scope, name)), scope, name) or CredentialHistory()
    facts = history.versions.get(version)
    if facts is None or facts.state is CredentialState.DELETED:
        raise CredentialMissing(
            f"the credential '{name}' of {owner(scope)} has no version {version}; it has: {history.summary()}"
        )
    secret = _secret(store, scope, name, version)
    if secret is None:
        raise CredentialMissing(_lost(scope, name, version))
    return Credential(secret=secret, version=version)


def fingerprint(secret: SecretStr) -> str:
    """Tells two secrets apart without showing either: 12 hexadecimal digits of SHA-256."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:12]


def stripped(secret: SecretStr) -> SecretStr:
    """A secret as it is sent.

    Pasted keys come with a newline, and a header that holds one is refused with an error that quotes the key.
    """
    return SecretStr(secret.get_secret_value().strip())


def history_path(scope: str, name: str) -> str:
    """Where the states of a credential's versions are kept.

    Raises:
        StoreError: this cannot be the name of a credential.
    """
    return join_path(scope, "credentials", name)


def secret_path(scope: str, name: str, version: int) -> str:
    """Where the secret of one version is kept.

    Raises:
        StoreError: this cannot be the name of a credential.
    """
    return join_path(scope, "secrets", name, str(version))


def read_history(parameter: Parameter | None, scope: str, name: str) -> CredentialHistory | None:
    """What the store holds of a credential, or None when there is nothing.

    Raises:
        InvalidCredential: it is stored damaged; nothing of it is quoted, for it may be a secret that went astray.
    """
    if parameter is None:
        return None
    try:
        return CredentialHistory.model_validate_json(parameter.value.get_secret_value())
    except ValidationError as error:
        found = "; ".join(str(problem) for problem in problems(error, whole="credential"))
    raise InvalidCredential(
        f"the credential '{name}' of {owner(scope)} is stored damaged: {found}; remove {parameter.path} from the store "
        "and add the credential again"
    )


def scope_of(effective: EffectiveConnection) -> str:
    """The path of the project or account that a connection's credential belongs to."""
    return effective.credential_scope.removesuffix("/credentials")


def owner(scope: str) -> str:
    """Whose scope it is, for messages."""
    kind, _, name = scope.removeprefix("/byom/").partition("/")
    return f"{kind.removesuffix('s')} '{name}'"


def flags(scope: str, name: str) -> str:
    """How a command line says which credential is meant."""
    kind, _, whose = scope.removeprefix("/byom/").partition("/")
    return f"--{kind.removesuffix('s')} {whose} --name {name}"


def _secret(store: ParameterStore, scope: str, name: str, version: int) -> SecretStr | None:
    parameter = store.get(secret_path(scope, name, version))
    return None if parameter is None else stripped(parameter.value)


def _subject(effective: EffectiveConnection) -> str:
    return f"connection '{effective.connection.name}' of project '{effective.project}'"


def _lost(scope: str, name: str, version: int) -> str:
    return (
        f"the secret of version {version} of credential '{name}' of {owner(scope)} is not in the store; add it again "
        f"with: byom credential add {flags(scope, name)} --activate --key-env NAME"
    )
