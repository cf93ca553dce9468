"""Credentials: the secrets themselves, by reference and version. Decrypted only here, and only when needed."""

from dataclasses import dataclass

from pydantic import SecretStr

from config.connections import EffectiveConnection
from config.errors import CredentialMissing
from config.store import Parameter, ParameterStore


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
    return Credential(secret=parameter.value, version=parameter.version)


def save_credential(store: ParameterStore, scope: str, name: str, secret: SecretStr) -> Parameter:
    """Write a new version of a credential below `scope` (a project's or an account's path)."""
    return store.put(f"{scope}/credentials/{name}", secret, secure=True)
