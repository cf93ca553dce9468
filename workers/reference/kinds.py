"""A JSON Schema in words: what a value may be, and within which bounds."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES = {"boolean": "`true` or `false`", "integer": "whole number", "number": "number"}
#: What a list of types stands for.
_ANY = "any JSON value but null"


def takes(schema: Schema, refer: Callable[[str], str] = str) -> str:
    """What a value may be.

    Args:
        schema: of the value.
        refer: name of a definition → how the page speaks of it.
    """
    schema = _without_null(schema)
    if choices := schema.get("anyOf"):
        # What newer workers may say is read as text: the known ones tell all there is.
        return takes(next((one for one in choices if "$ref" in one), choices[0]), refer)
    # A type beside a reference narrows what it refers to.
    if "$ref" in schema and "type" not in schema:
        return refer(str(schema["$ref"]).rpartition("/")[2])
    if choices := schema.get("enum"):
        return " or ".join(f"`{choice}`" for choice in choices)
    kind = schema.get("type", "object")
    return ", ".join([_ANY, *_length(schema)] if isinstance(kind, list) else _of(kind, schema, refer))


def _of(kind: str, schema: Schema, refer: Callable[[str], str]) -> Iterator[str]:
    """The words of one type, then its bounds."""
    if kind == "string":
        yield _text(schema)
        yield from _length(schema)
    elif kind == "array":
        yield f"list of {takes(schema['items'], refer)}"
        yield from _many(schema, "Items")
    elif kind == "object":
        yield _mapping(schema, refer)
        yield from _many(schema, "Properties")
    else:
        yield _TYPES[kind]
        yield from _bounds(schema)


def default_of(value: object) -> str:
    """A default in the words of JSON; an absent one is `none`."""
    if value is None or value == "":
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _without_null(schema: Schema) -> Schema:
    """One that may be absent is a choice between what it is and null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        return choices[0]  # type: ignore[no-any-return]  # JSON
    return {**schema, "anyOf": choices} if choices else schema


def _text(schema: Schema) -> str:
    formats = {"password": "text, kept secret", "date-time": "ISO 8601 time"}
    return formats.get(schema.get("format", ""), "text")


def _mapping(schema: Schema, refer: Callable[[str], str]) -> str:
    values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    if isinstance(values[0], dict):
        return f"object of {takes(values[0], refer)}"
    return "object"


def _length(schema: Schema) -> Iterator[str]:
    if most := schema.get("maxLength"):
        yield f"at most {most:,} characters"


def _many(schema: Schema, of: str) -> Iterator[str]:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least and most:
        yield f"{least:,} to {most:,}"
    elif most:
        yield f"at most {most:,}"


def _bounds(schema: Schema) -> Iterator[str]:
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']:,} to {schema['maximum']:,}"
        return
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    yield from (f"{word} {schema[bound]:,}" for bound, word in words.items() if bound in schema)
