"""Checks of request bodies that OpenAI's two generation endpoints share, with the vendor's error messages."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from workers.embedded.simulator.exchange import CachePlan, Incoming, Reason, Rejection
from workers.embedded.simulator.schemas import malformed
from workers.embedded.simulator.tokens import count
from workers.embedded.simulator.wire.openai_facts import Facts
from workers.embedded.simulator.wire.openai_schema import fault_of

Json = Mapping[str, Any]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPES = {str: "a string", int: "an integer", bool: "a boolean", dict: "an object", list: "an array", float: "a number"}
_MINIMUM_OUTPUT = 16
_TAGS, _TAG_KEY, _TAG_VALUE = 16, 64, 512
_IDENTIFIER = 128
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
TTL = {"30m": 1_800.0, "12h": 43_200.0}


def bad(message: str, param: str | None = None, code: str | None = None) -> Rejection:
    """A 400 of type `invalid_request_error`."""
    return Rejection(Reason.BAD_REQUEST, message, param=param, code=code)


def not_simulated(param: str) -> Rejection:
    """A 400 for what the vendor can do and this simulator cannot."""
    return bad(f"The simulator does not support '{param}'.", param, "not_simulated")


def read_json(incoming: Incoming) -> Json:
    """The request's body as an object."""
    try:
        body = json.loads(incoming.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise bad(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
            "have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)"
        )
    return body


def typed(body: Json, name: str, kind: type, *, param: str | None = None) -> Any:
    """A parameter of one type; None when it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        got = _TYPES.get(type(value), "a value of another type")
        shown = param or name
        raise bad(f"Invalid type for '{shown}': expected {_TYPES[kind]}, but got {got} instead.", shown, "invalid_type")
    return value


def objects(body: Json, name: str) -> list[Json]:
    """A parameter that is a list of objects; empty when it is absent."""
    values = typed(body, name, list) or []
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise bad(f"Invalid type for '{name}[{index}]': expected an object.", f"{name}[{index}]", "invalid_type")
    return values


def one_of(body: Json, name: str, values: Sequence[str], *, param: str | None = None) -> str | None:
    """A parameter with a closed set of values."""
    value = typed(body, name, str, param=param)
    if value is not None and value not in values:
        raise bad(f"Invalid value: '{value}'. Supported values are: {listed(values)}.", param or name, "invalid_value")
    return None if value is None else str(value)


def listed(values: Sequence[str]) -> str:
    """`'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) <= 1:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 2 else f"{quoted[0]} and {quoted[1]}"  # noqa: PLR2004 - two items need no comma


def output_cap(body: Json, name: str, facts: Facts) -> int:
    """The output cap of a request, or the model's."""
    value = typed(body, name, int)
    if value is None:
        return facts.max_output
    if value < _MINIMUM_OUTPUT:
        raise bad(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {_MINIMUM_OUTPUT}, but got {value} "
            "instead.",
            name,
            "integer_below_min_value",
        )
    if value > facts.max_output:
        raise bad(
            f"{name} is too large: {value}. This model supports at most {facts.max_output} completion tokens, whereas "
            f"you provided {value}.",
            name,
            "invalid_value",
        )
    return int(value)


def tags(body: Json) -> dict[str, str]:
    """`metadata` within its limits."""
    metadata = typed(body, "metadata", dict) or {}
    if len(metadata) > _TAGS:
        raise bad(
            f"Invalid 'metadata': too many properties. Expected an object with at most {_TAGS} properties, but got an "
            f"object with {len(metadata)} properties instead.",
            "metadata",
            "object_above_max_properties",
        )
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise bad(f"Invalid type for 'metadata.{key}': expected a string.", f"metadata.{key}", "invalid_type")
        for text, limit in ((key, _TAG_KEY), (value, _TAG_VALUE)):
            if len(text) > limit:
                raise bad(
                    f"Invalid 'metadata.{key[:_TAG_KEY]}': string too long. Expected a string with maximum length "
                    f"{limit}, but got a string with length {len(text)} instead.",
                    f"metadata.{key[:_TAG_KEY]}",
                    "string_above_max_length",
                )
    return dict(metadata)


def identifiers(body: Json) -> None:
    """`safety_identifier` within its limit."""
    value = typed(body, "safety_identifier", str) or ""
    if len(value) > _IDENTIFIER:
        raise bad(
            f"Invalid 'safety_identifier': string too long. Expected a string with maximum length {_IDENTIFIER}, but "
            f"got a string with length {len(value)} instead.",
            "safety_identifier",
            "string_above_max_length",
        )


def sampling(body: Json, facts: Facts, effort: str) -> None:
    """Sampling parameters are refused while the model reasons."""
    for name in ("temperature", "top_p"):
        if typed(body, name, float) is not None and facts.reasons and effort != "none":
            raise bad(
                f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
            )


@lru_cache(maxsize=512)
def _schema_facts(text: str) -> tuple[str | None, str | None, int]:
    """What is wrong with a schema as such, and in the strict dialect; and its tokens."""
    value = json.loads(text)
    wrong = malformed(value)
    return wrong, wrong or fault_of(value), count(text)


def schema(given: Json, *, param: str, code: str | None) -> tuple[Json, int]:
    """The schema of a `json_schema` format, checked when it is strict, and its tokens."""
    name = given.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad(
            f"Invalid '{param}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$' with at most 64 characters.",
            f"{param}.name",
            "invalid_value",
        )
    value = given.get("schema")
    if not isinstance(value, dict):
        raise bad(f"Missing required parameter: '{param}.schema'.", f"{param}.schema", "missing_required_parameter")
    wrong, wrong_if_strict, tokens = _schema_facts(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    wrong = wrong_if_strict if given.get("strict") else wrong
    if wrong is not None:
        raise bad(
            f"Invalid schema for response_format '{name}': {wrong}",
            param if code is None else f"{param}.schema",
            code,
        )
    return value, tokens


def cache_plan(body: Json, facts: Facts, *, marked_system: bool, marked_user: bool, ttls: Sequence[str]) -> CachePlan:
    """What the vendor's prompt cache does with a request."""
    options = typed(body, "prompt_cache_options", dict)
    if not facts.counts_writes:
        if options is not None or marked_system or marked_user:
            raise bad(
                "Unsupported parameter: 'prompt_cache_options' is not supported with this model.",
                "prompt_cache_options",
                "unsupported_parameter",
            )
        return CachePlan(after_system=True, after_user=True)
    options = options or {}
    mode = one_of(options, "mode", ("implicit", "explicit"), param="prompt_cache_options.mode") or "implicit"
    ttl = one_of(options, "ttl", ttls, param="prompt_cache_options.ttl") or "30m"
    implicit = mode == "implicit"
    return CachePlan(
        after_system=implicit or marked_system,
        after_user=implicit or marked_user,
        counts_writes=True,
        ttl=TTL[ttl],
    )


def parts(content: Any, *, kind: str, param: str) -> tuple[str, bool]:
    """The text of a message's content, and whether a cache breakpoint stands in it."""
    if isinstance(content, str):
        return content, False
    if not isinstance(content, list):
        raise bad(f"Invalid type for '{param}': expected one of an array or string.", param, "invalid_type")
    texts: list[str] = []
    marked = False
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in {kind, "output_text"}:
            raise not_simulated(f"{param}[{index}].type")
        texts.append(str(part.get("text", "")))
        marked = marked or "prompt_cache_breakpoint" in part
    return "\n".join(texts), marked
