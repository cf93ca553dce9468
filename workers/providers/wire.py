"""JSON, counts and keys as all providers handle them: nothing that a server sends makes these raise. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from config.catalogue import ModelFacts
from config.headers import fits_header
from tasks.contract import TokenUsage
from workers.providers.base import Call, Fault, FaultKind

#: No call counts more tokens; a number beyond is nonsense.
_MOST_TOKENS = 1_000_000_000

#: Characters per token of English instructions. Real prompts have a little more, so this errs towards a breakpoint:
#: one that turns out to be below the vendor's minimum does nothing and costs nothing.
_CHARACTERS_PER_TOKEN = 4


def encode(body: Mapping[str, Any]) -> bytes:
    """A request body as JSON, in the order of its fields, so that equal prompts are equal bytes."""
    try:
        return to_json(body)
    except PydanticSerializationError:
        # Half a surrogate pair has no UTF-8; one broken character must not cost the episode.
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", errors="replace")


def decode(content: bytes) -> Mapping[str, Any] | None:
    """A response body, or None if it is not a JSON object."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def part(value: object, *path: str) -> Mapping[str, Any]:
    """The object at a path of field names; empty where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; empty where there is none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def count(value: object) -> int:
    """A token count; what is missing, negative or absurd counts as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else 0


def worth_caching(system: str, facts: ModelFacts) -> bool:
    """Whether the static part of a prompt is long enough for the vendor to cache it."""
    return facts.cache_minimum is not None and len(system) >= facts.cache_minimum * _CHARACTERS_PER_TOKEN


def inclusive_usage(
    *, total_input: object, cached: object, written: object, output: object, reasoning: object
) -> TokenUsage:
    """Usage of vendors whose input count includes what was read from and written to the cache."""
    read, wrote = count(cached), count(written)
    return TokenUsage(
        input=max(count(total_input) - read - wrote, 0),
        cached_input=read,
        cache_write=wrote,
        output=count(output),
        reasoning=count(reasoning),
    )


def api_key(call: Call) -> str | Fault:
    """The call's API key, or the fault that it is missing or damaged.

    Checked here, because the HTTP client's own complaint about a header would carry the key.
    """
    key = call.credential.secret.get_secret_value().strip() if call.credential else ""
    if fits_header(key):
        return key
    return Fault(
        kind=FaultKind.CREDENTIAL_REJECTED,
        message=f"The credential of {call.connection.provider.value} was not sent: it is empty, or holds spaces, "
        "line breaks or characters outside ASCII, as no API key does.",
    )
