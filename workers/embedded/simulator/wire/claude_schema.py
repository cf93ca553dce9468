"""Which JSON Schemas Claude's structured outputs accept; the rest is a 400."""

from collections.abc import Iterator, Mapping
from typing import Any

MAX_OPTIONAL = 24
MAX_UNIONS = 16

_REFUSED = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "pattern",
    "patternProperties",
    "prefixItems",
    "contains",
    "not",
    "if",
    "oneOf",
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")


def fault_of(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, or None."""
    optional = unions = 0
    for node in _nodes(schema):
        wrong = _fault(node)
        if wrong is not None:
            return wrong
        optional += len(node.get("properties", {}).keys() - set(node.get("required", ())))
        unions += "anyOf" in node or isinstance(node.get("type"), list)
    if optional > MAX_OPTIONAL:
        return f"Schema is too complex: {optional} optional parameters exceed the limit of {MAX_OPTIONAL}."
    if unions > MAX_UNIONS:
        return f"Schema is too complex: {unions} parameters with union types exceed the limit of {MAX_UNIONS}."
    return None


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and all schemas inside it."""
    yield node
    for group in ("properties", "$defs"):
        for child in node.get(group, {}).values():
            yield from _nodes(child)
    if isinstance(items := node.get("items"), Mapping):
        yield from _nodes(items)
    for group in ("anyOf", "allOf"):
        for branch in node.get(group, ()):
            yield from _nodes(branch)


def _fault(node: Mapping[str, Any]) -> str | None:
    kind = node.get("type", "schema")
    refused = next((keyword for keyword in _REFUSED if keyword in node), None)
    if refused is not None:
        return f"For '{kind}' type, property '{refused}' is not supported"
    if node.get("minItems", 0) not in {0, 1}:
        return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if node.get("format", _FORMATS[0]) not in _FORMATS:
        return f"For 'string' type, format '{node['format']}' is not supported"
    if kind == "object" and node.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if "$ref" in node and len(node) > 1:
        return "'$ref' must not have sibling keywords"
    return None
