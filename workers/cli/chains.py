"""What the connection commands do to the store, and how a chain is described."""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from config.connections import (
    EffectiveConnection,
    account_path,
    effective_chain,
    project_path,
    save_connection,
    save_project,
)
from config.credentials import delete_credential, fingerprint, history_of, read_credential, save_credential
from config.errors import CredentialMissing, NoConnection
from config.store import MemoryStore, Parameter, ParameterStore


def rehearse(store: ParameterStore, project: str, document: dict[str, Any]) -> tuple[EffectiveConnection, bool]:
    """Try a new connection on a copy of its project, so that a refused one leaves nothing behind.

    Returns:
        The connection as the project would see it, and whether the project would then have a primary connection.

    Raises:
        InvalidConnection: the connection does not fit its provider, or the project would have two primaries.
    """
    copy = MemoryStore()
    scope = project_path(project)
    save_project(copy, project)
    prefixes = [f"{scope}/connections"]
    account = None
    if (profile := store.get(f"{scope}/profile")) is not None:
        copy.put(profile.path, profile.value, secure=False)
        if account := _field(profile, "account"):
            prefixes.append(f"{account_path(account)}/connections")
    for prefix in prefixes:
        for parameter in store.list(prefix):
            copy.put(parameter.path, parameter.value, secure=False)
    connection = save_connection(copy, scope, document)
    effective = EffectiveConnection(
        connection=connection, project=project, account=account, credential_scope=f"{scope}/credentials", origins={}
    )
    try:
        effective_chain(copy, project)
    except NoConnection:
        return effective, False
    return effective, True


def save(store: ParameterStore, project: str, document: dict[str, Any], secret: SecretStr | None) -> int | None:
    """Write a connection with its credential, and the project if it is new.

    The credential comes first: a worker that already sees the connection must find its key.

    Returns:
        The credential's new version, or None when there is none.
    """
    scope = project_path(project)
    version = save_credential(store, scope, document["credential"], secret).version if secret else None
    save_connection(store, scope, document)
    if store.get(f"{scope}/profile") is None:
        save_project(store, project)
    return version


def remove_connection(store: ParameterStore, scope: str, name: str) -> bool:
    """Delete a connection, and its credential when no other connection of the same level names it.

    Returns:
        Whether a credential was deleted.
    """
    path = f"{scope}/connections/{name}"
    named = {parameter.path: _field(parameter, "credential") for parameter in store.list(f"{scope}/connections")}
    credential = named.pop(path)
    store.delete(path)
    if credential is None or credential in named.values() or history_of(store, scope, credential) is None:
        return False
    delete_credential(store, scope, credential, by="byom", now=datetime.now(UTC), reason="its connection was removed")
    return True


def describe(store: ParameterStore, effective: EffectiveConnection) -> dict[str, Any]:
    """A connection as a project sees it, with the origin of each value; of its secret only version and fingerprint."""
    connection = effective.connection
    document = connection.model_dump(mode="json")
    if connection.credential is not None:
        document["credential"] = {"name": connection.credential, **_secret_facts(store, effective)}
    return {"project": effective.project, "account": effective.account, **document, "origins": effective.origins}


def _field(parameter: Parameter, name: str) -> str | None:
    """One field of a stored document; None when it is absent or the document is damaged, which readers report."""
    try:
        document = json.loads(parameter.value.get_secret_value())
    except ValueError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _secret_facts(store: ParameterStore, effective: EffectiveConnection) -> dict[str, Any]:
    try:
        credential = read_credential(store, effective)
    except CredentialMissing:
        credential = None
    if credential is None:
        return {"version": None, "fingerprint": None}
    return {"version": credential.version, "fingerprint": fingerprint(credential.secret)}
