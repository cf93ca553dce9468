"""Reading and writing the JSON documents that the parameter store holds; none of them is secret."""

import json
from typing import Any

from pydantic import SecretStr

from config.errors import InvalidConnection
from config.store import ParameterStore, join_path

#: A document as it is stored: only the fields that its level sets, and no name.
Document = dict[str, Any]


def dump(document: Document) -> SecretStr:
    """A document as the store takes it."""
    return SecretStr(json.dumps(document, sort_keys=True))


def load(value: SecretStr, subject: str) -> Document:
    """A stored document.

    Args:
        value: as the store gave it.
        subject: whose it is, for the message.

    Raises:
        InvalidConnection: it is not a JSON object.
    """
    try:
        document = json.loads(value.get_secret_value())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidConnection(f"{subject} is stored damaged: not a JSON object; save it again")
    return document


def connection_documents(store: ParameterStore, scope: str) -> dict[str, Document]:
    """Name → document of the connections that one level sets.

    Raises:
        InvalidConnection: one of them is damaged.
    """
    return {
        (name := parameter.path.rsplit("/", 1)[1]): load(parameter.value, f"connection '{name}' of {scope}")
        for parameter in store.list(join_path(scope, "connections"), secure=False)
    }
