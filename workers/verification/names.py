"""How providers, addresses and models are called in messages, and whether two names are the same model. Pure."""

import re
from urllib.parse import urlsplit

from config.connections import Connection
from config.kinds import kind_of

#: What vendors add to a model's name to say which build of it answers: a date or a version.
_BUILD = re.compile(r"[-@:](?:v\d+|\d{3,}(?:-\d{2}){0,2})(?::\d+)?")


def vendor_of(connection: Connection) -> str:
    """The connection's provider at the beginning of a sentence."""
    return kind_of(connection.provider).vendor


def address(connection: Connection) -> str:
    """Where a connection's calls go, for people."""
    if connection.base_url:
        return connection.base_url
    where = place(connection)
    return f"its endpoint in {where}" if where else "its public endpoint"


def host(connection: Connection) -> str:
    """The host of a connection's own address; empty when it has none."""
    return urlsplit(connection.base_url or "").hostname or ""


def place(connection: Connection) -> str:
    """The region or location that a connection's model runs in; empty where a provider knows none."""
    where = kind_of(connection.provider).place
    if where is None:
        return ""
    named: str | None = getattr(connection, where.setting)
    return named or where.default


def same_model(asked: str, named: str) -> bool:
    """Whether a vendor's name means the model that was asked for, dated builds included.

    `gpt-4.1-mini-2025-04-14` is `gpt-4.1-mini`, but `gemini-2.5-flash-lite` is not `gemini-2.5-flash`.
    """
    asked, named = (name.lower().removeprefix("models/").removesuffix("-latest") for name in (asked, named))
    return named == asked or (named.startswith(asked) and _BUILD.fullmatch(named.removeprefix(asked)) is not None)
