"""How providers, addresses and models are called in messages, and whether two names are the same model. Pure."""

import re
from urllib.parse import urlsplit

from config.connections import Connection
from tasks.contract import ProviderKind
from workers.providers.aws_auth import DEFAULT_REGION
from workers.providers.vertex import DEFAULT_LOCATION

VENDORS: dict[ProviderKind, str] = {
    ProviderKind.OPENAI: "OpenAI",
    ProviderKind.AZURE_OPENAI: "Azure OpenAI",
    ProviderKind.GEMINI: "Gemini",
    ProviderKind.VERTEX: "Vertex AI",
    ProviderKind.ANTHROPIC: "Anthropic",
    ProviderKind.BEDROCK: "Bedrock",
    ProviderKind.OPENAI_COMPATIBLE: "The server",
}

#: What vendors add to a model's name to say which build of it answers: a date or a version.
_BUILD = re.compile(r"[-@:](?:v\d+|\d{3,}(?:-\d{2}){0,2})(?::\d+)?")


def address(connection: Connection) -> str:
    """Where a connection's calls go, for people."""
    if connection.base_url:
        return connection.base_url
    match connection.provider:
        case ProviderKind.VERTEX | ProviderKind.BEDROCK:
            return f"its endpoint in {place(connection)}"
    return "its public endpoint"


def host(connection: Connection) -> str:
    """The host of a connection's own address; empty when it has none."""
    return urlsplit(connection.base_url or "").hostname or ""


def place(connection: Connection) -> str:
    """The region or location that a connection's model runs in; empty where a provider knows none."""
    match connection.provider:
        case ProviderKind.VERTEX:
            return connection.location or DEFAULT_LOCATION
        case ProviderKind.BEDROCK:
            return connection.region or DEFAULT_REGION
    return ""


def same_model(asked: str, named: str) -> bool:
    """Whether a vendor's name means the model that was asked for, dated builds included.

    `gpt-4.1-mini-2025-04-14` is `gpt-4.1-mini`, but `gemini-2.5-flash-lite` is not `gemini-2.5-flash`.
    """
    asked, named = (name.lower().removeprefix("models/").removesuffix("-latest") for name in (asked, named))
    return named == asked or (named.startswith(asked) and _BUILD.fullmatch(named.removeprefix(asked)) is not None)
