"""Whether a JSON Schema is one at all, before a vendor's dialect is asked and the model writes to it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")


def malformed(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with the form of a schema, or None."""
    return next(_faults(schema, schema), None)


def resolve(root: Mapping[str, Any], reference: str) -> Any:
    """What a local reference points to, or None when there is nothing."""
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            target = target.get(part) if isinstance(target, Mapping) else None
    return target


def _faults(node: Any, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(node, Mapping):
        yield f"{node!r} is not of type 'object'."
        return
    for keyword, (fits, wanted) in _KEYWORDS.items():
        if keyword in node and not fits(node[keyword]):
            yield f"{node[keyword]!r} is not {wanted} in '{keyword}'."
            return
    if "$ref" in node and not isinstance(resolve(root, node["$ref"]), Mapping):
        yield f"reference '{node['$ref']}' cannot be resolved."
    for keyword in ("properties", "$defs", "definitions"):
        for child in node.get(keyword, {}).values():
            yield from _faults(child, root)
    if "items" in node:
        yield from _faults(node["items"], root)
    for keyword in ("anyOf", "oneOf"):
        for branch in node.get(keyword, ()):
            yield from _faults(branch, root)


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KEYWORDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "type": (_is_type, "a type"),
    "$ref": (_is_text, "a string"),
    "format": (_is_text, "a string"),
    "enum": (_is_list, "a list of values"),
    "anyOf": (_is_list, "a list of schemas"),
    "oneOf": (_is_list, "a list of schemas"),
    "required": (_are_names, "a list of names"),
    **dict.fromkeys(("properties", "$defs", "definitions"), (_is_map, "an object")),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), (_is_count, "a count")),
    **dict.fromkeys(("minimum", "maximum"), (_is_number, "a number")),
}
