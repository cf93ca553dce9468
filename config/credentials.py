"""Credentials: the secrets themselves, by reference and version. Decrypted only here, and only when needed."""

from dataclasses import dataclass

from pydantic import SecretStr

from config.connections import EffectiveConnection
from config.errors import CredentialMissing
from config.store import Parameter, ParameterStore, join_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret with its version; the secret is masked in repr."""

    secret: SecretStr
    version: int


def read_credential(store: ParameterStore, effective: EffectiveConnection) -> Credential | None:
    """The current credential of a connection, or None when it needs none.

    Raises:
        CredentialMissing: the connection names a credential that the store does not hold.
    """
    path = effective.credential_path
    if path is None:
        return None
    parameter = store.get(path)
    if parameter is None:
        raise CredentialMissing(
            f"connection '{effective.connection.name}' of project '{effective.project}' names the credential "
            f"'{effective.connection.credential}', which is not in the store; add it again with: "
            f"byom connection add --project {effective.project} --name {effective.connection.name} --key-env NAME …"
        )
    # Pasted keys come with a newline, and a header that holds one is refused with an error that quotes the key.
    return Credential(secret=SecretStr(parameter.value.get_secret_value().strip()), version=parameter.version)


def save_credential(store: ParameterStore, scope: str, name: str, secret: SecretStr) -> Parameter:
    """Write a new version of a credential below `scope` (a project's or an account's path).

    Raises:
        CredentialMissing: the secret is empty; nothing was written.
        StoreError: this cannot be the name of a credential, or the store cannot be written.
    """
    path = join_path(scope, "credentials", name)
    if not secret.get_secret_value().strip():
        raise CredentialMissing(f"the credential '{name}' for {scope} is empty; nothing was saved")
    return store.put(path, secret, secure=True)
