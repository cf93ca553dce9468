"""The subset of JSON Schema that every provider accepts unchanged, as a linter.

The vendors' dialects differ in what they refuse, silently ignore or charge for; a schema that passes here can be sent
to all of them. What the subset cannot say (lengths, formats, optional values) is enforced on the answer.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Objects and arrays inside one another, the root counted.
MAX_DEPTH: Final = 5
MAX_PROPERTIES: Final = 64
MAX_ENUM_VALUES: Final = 100
MAX_DESCRIPTION: Final = 300

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"type", "description", "properties", "required", "additionalProperties"}),
    "array": frozenset({"type", "description", "items"}),
    "string": frozenset({"type", "description", "enum"}),
    **{scalar: frozenset({"type", "description"}) for scalar in _SCALARS - {"string"}},
}


def lint(schema: Any) -> list[str]:
    """What keeps a schema from being portable, one line per problem, each with its place; empty if nothing does."""
    problems = list(_lint(schema, "$", 1))
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        problems.append("$: the root must be an object; wrap a list in one")
    nodes = list(_nodes(schema))
    properties = sum(len(node.get("properties", ())) for node in nodes)
    if properties > MAX_PROPERTIES:
        problems.append(f"$: {properties} properties in total; the limit is {MAX_PROPERTIES}")
    values = sum(len(node["enum"]) for node in nodes if isinstance(node.get("enum"), list))
    if values > MAX_ENUM_VALUES:
        problems.append(f"$: {values} enum values in total; the limit is {MAX_ENUM_VALUES}")
    return problems


def _lint(node: Any, place: str, depth: int) -> Iterator[str]:
    kind = node.get("type") if isinstance(node, Mapping) else None
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        yield f"{place}: needs one type of {', '.join(sorted(_KEYWORDS))}; no null, no union, no reference"
        return
    if depth > MAX_DEPTH:
        yield f"{place}: nested {depth} deep; the limit is {MAX_DEPTH}"
        return
    for keyword in sorted(set(node) - _KEYWORDS[kind]):
        yield f"{place}: '{keyword}' is not portable on type {kind}"
    description = node.get("description", "")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        yield f"{place}: the description must be a string of at most {MAX_DESCRIPTION} characters"
    if "enum" in node and not _is_string_list(node["enum"]):
        yield f"{place}: enum must be a list of strings, not empty"
    if kind == "array":
        yield from _lint(node.get("items"), f"{place}[]", depth + 1)
    elif kind == "object":
        yield from _lint_object(node, place, depth)


def _lint_object(node: Mapping[str, Any], place: str, depth: int) -> Iterator[str]:
    properties = node.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        yield f"{place}: an object needs properties"
        return
    if node.get("required") != list(properties):
        yield f"{place}: required must list all properties, in their order"
    if node.get("additionalProperties") is not False:
        yield f"{place}: additionalProperties must be false"
    for name, child in properties.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{place}: a property's name must be 1 to 64 of A-Z, a-z, 0-9 and _"
        nested = isinstance(child, Mapping) and child.get("type") in ("object", "array")
        yield from _lint(child, f"{place}.{name}", depth + 1 if nested else depth)


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(node, Mapping):
        return
    yield node
    properties = node.get("properties")
    if isinstance(properties, Mapping):
        for child in properties.values():
            yield from _nodes(child)
    yield from _nodes(node.get("items"))


def _is_string_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)
