"""How a chain is described, and one connection of it found."""

from typing import Any

from config.catalogue import Catalogue
from config.connections import Connection, EffectiveConnection
from config.connections.checks import connection_warnings
from config.connections.model import takes
from config.connections.paths import Level
from config.connections.review import level_connections
from config.credentials import history_of
from config.credentials.read import scope_of, secret_path
from config.store import ParameterStore


def find_link(store: ParameterStore, level: Level, name: str) -> EffectiveConnection | None:
    """One connection as a level sees it; None when the level has none of this name, or hides it.

    Raises:
        ConfigError: the level's connections cannot be resolved.
    """
    return next((link for link in level_connections(store, level) if link.connection.name == name), None)


def describe(
    store: ParameterStore, level: Level, effective: EffectiveConnection, *, catalogue: Catalogue
) -> dict[str, Any]:
    """A connection as its level sees it, with the origin of each value; of its secret only version and fingerprint."""
    connection = effective.connection
    document = connection.model_dump(mode="json")
    if connection.credential is not None:
        document["credential"] = {"name": connection.credential, **_secret_facts(store, effective)}
    return {
        "project": effective.project if level.kind == "project" else None,
        "account": effective.account,
        **document,
        "origins": effective.origins,
        "meter": effective.key,
        "tenant": effective.tenant,
        "warnings": connection_warnings(connection, catalogue=catalogue),
    }


def shown_fields(connection: Connection) -> list[str]:
    """The fields that mean something for a connection's provider, in the order of the documentation."""
    return [name for name in Connection.model_fields if name != "name" and takes(connection.provider, name)]


def _secret_facts(store: ParameterStore, effective: EffectiveConnection) -> dict[str, Any]:
    """Version and fingerprint of the active secret, from what is known of it; it is not decrypted for that."""
    name, scope = str(effective.connection.credential), scope_of(effective)
    history = history_of(store, scope, name)
    if history is not None and history.active is not None:
        path = secret_path(scope, name, history.active)
        if any(secret.path == path for secret in store.secrets(path.rpartition("/")[0])):
            return {"version": history.active, "fingerprint": history.versions[history.active].fingerprint}
    return {"version": None, "fingerprint": None}
