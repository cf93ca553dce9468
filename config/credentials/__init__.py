"""Credentials: the secrets themselves, by name and version, from the day they are added until they are deleted.

read_credential(store, effective)                       what a call is made with: the active version
add_credential(store, scope, name, secret, by=…, now=…)  a new version, pending
activate_credential, disable_credential, delete_version, delete_credential
"""

from .life import (
    Changed,
    activate_credential,
    add_credential,
    connections_naming,
    delete_credential,
    delete_version,
    disable_credential,
    history_of,
    list_credentials,
    note_verification,
    save_credential,
)
from .read import Credential, fingerprint, read_credential, read_version
from .states import TRANSITIONS, CredentialHistory, CredentialState, Operation, VersionFacts

__all__ = [
    "TRANSITIONS",
    "Changed",
    "Credential",
    "CredentialHistory",
    "CredentialState",
    "Operation",
    "VersionFacts",
    "activate_credential",
    "add_credential",
    "connections_naming",
    "delete_credential",
    "delete_version",
    "disable_credential",
    "fingerprint",
    "history_of",
    "list_credentials",
    "note_verification",
    "read_credential",
    "read_version",
    "save_credential",
]
