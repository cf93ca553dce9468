"""Which JSON Schemas OpenAI's strict mode accepts; the rest is a 400 with the vendor's words."""

from collections.abc import Iterator, Mapping
from typing import Any

MAX_DEPTH = 10
MAX_PROPERTIES = 5_000

_REFUSED = (
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "default",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_DEFINITIONS = ("$defs", "definitions")

Path = tuple[str, ...]
Found = tuple[Path, Mapping[str, Any], int]


def fault_of(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, in the vendor's words, or None."""
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    properties = 0
    for path, node, depth in _nodes(schema, (), 1):
        if depth > MAX_DEPTH:
            return f"{depth} levels of nesting exceeds limit of {MAX_DEPTH}."
        wrong = _fault(node)
        if wrong is not None:
            return f"In context={path!r}, {wrong}"
        properties += len(node.get("properties", ()))
    if properties > MAX_PROPERTIES:
        return f"{properties} properties exceeds limit of {MAX_PROPERTIES}."
    return None


def _nodes(node: Mapping[str, Any], path: Path, depth: int) -> Iterator[Found]:
    """A schema and all schemas inside it, each with its path and its depth in objects and arrays."""
    yield path, node, depth
    for group in ("properties", *_DEFINITIONS):
        inner = 1 if group in _DEFINITIONS else depth + 1
        for name, child in node.get(group, {}).items():
            yield from _nodes(child, (*path, group, name), inner)
    if isinstance(items := node.get("items"), Mapping):
        yield from _nodes(items, (*path, "items"), depth + 1)
    for index, branch in enumerate(node.get("anyOf", ())):
        yield from _nodes(branch, (*path, "anyOf", str(index)), depth)


def _fault(node: Mapping[str, Any]) -> str | None:
    refused = next((keyword for keyword in _REFUSED if keyword in node), None)
    if refused is not None:
        return f"'{refused}' is not permitted."
    if "$ref" in node:
        return _reference_fault(node)
    kind = node.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds:
        return _object_fault(node)
    return _leaf_fault(node, kinds)


def _leaf_fault(node: Mapping[str, Any], kinds: list[Any]) -> str | None:
    if kinds == [None] and not {"anyOf", "enum", "const"} & node.keys():
        return "schema must have a 'type' key."
    if "array" in kinds and "items" not in node:
        return "array schema missing items."
    if node.get("format", _FORMATS[0]) not in _FORMATS:
        return f"'{node['format']}' is not a valid format."
    return None


def _reference_fault(node: Mapping[str, Any]) -> str | None:
    siblings = sorted(set(node) - {"$ref"})
    if siblings:
        return f"$ref cannot have keywords {set(siblings)!r}."
    target = node["$ref"]
    if target != "#" and not target.startswith(tuple(f"#/{group}/" for group in _DEFINITIONS)):
        return f"reference can only point to definitions within the schema, got '{target}'."
    return None


def _object_fault(node: Mapping[str, Any]) -> str | None:
    if node.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    rule = "'required' is required to be supplied and to be an array including every key in properties."
    properties, required = node.get("properties", {}), node.get("required", ())
    for name in properties:
        if name not in required:
            return f"{rule} Missing '{name}'."
    for name in required:
        if name not in properties:
            return f"{rule} Extra required key '{name}' supplied."
    return None
