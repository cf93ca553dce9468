"""Strict mode's dialect: what the vendor takes and what it refuses, in its own words."""

from typing import Any

import pytest

from workers.embedded.simulator.wire.openai_schema import fault_of


def wrapped(**inner: Any) -> dict[str, Any]:
    """A schema with one property."""
    return {"type": "object", "properties": {"x": inner}, "required": ["x"], "additionalProperties": False}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth - 1):
        schema = wrapped(**schema)
    return schema


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"anyOf": [wrapped(type="string")]}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
    ({"type": "object"}, "In context=(), 'additionalProperties' is required to be supplied and to be false."),
    (
        wrapped(type="object", properties={}, required=[]),
        "In context=('properties', 'x'), 'additionalProperties' is required to be supplied and to be false.",
    ),
    ({**wrapped(type="string"), "required": []}, "every key in properties. Missing 'x'."),
    ({**wrapped(type="string"), "required": ["x", "y"]}, "Extra required key 'y' supplied."),
    (wrapped(type="string", default=""), "In context=('properties', 'x'), 'default' is not permitted."),
    (wrapped(oneOf=[{"type": "string"}]), "'oneOf' is not permitted."),
    (wrapped(type="array", items={"type": "string"}, uniqueItems=True), "'uniqueItems' is not permitted."),
    (wrapped(type="array"), "array schema missing items."),
    (wrapped(type="array", items={}), "In context=('properties', 'x', 'items'), schema must have a 'type' key."),
    (wrapped(type="string", format="uri"), "'uri' is not a valid format."),
    (wrapped(**{"$ref": "#/$defs/A", "description": "d"}), "$ref cannot have keywords {'description'}."),
    (wrapped(**{"$ref": "https://example.com/a"}), "reference can only point to definitions within the schema"),
    (
        {**wrapped(**{"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "object", "properties": {}}}},
        "In context=('$defs', 'A'), 'additionalProperties'",
    ),
    (
        wrapped(anyOf=[{"type": "null"}, {"type": "array"}]),
        "In context=('properties', 'x', 'anyOf', '1'), array schema missing items.",
    ),
    (nested(11), "11 levels of nesting exceeds limit of 10."),
]


@pytest.mark.parametrize(("schema", "words"), REFUSED, ids=[words[:60] for _, words in REFUSED])
def test_strict_mode_refuses(schema: dict[str, Any], words: str) -> None:
    assert words in (fault_of(schema) or "")


ACCEPTED: list[dict[str, Any]] = [
    wrapped(type=["string", "null"], description="d", pattern="a", title="t"),
    wrapped(anyOf=[{"type": "string"}, {"type": "null"}]),
    wrapped(type="string", enum=["a"]),
    wrapped(enum=["a", 1]),
    wrapped(const="a"),
    wrapped(type="string", format="date-time"),
    wrapped(type="array", items={"type": "integer", "minimum": 0}, minItems=1, maxItems=3),
    {**wrapped(**{"$ref": "#/$defs/A"}), "$defs": {"A": wrapped(**{"$ref": "#"})}},
    nested(10),
]


@pytest.mark.parametrize("schema", ACCEPTED, ids=str)
def test_strict_mode_accepts(schema: dict[str, Any]) -> None:
    assert fault_of(schema) is None
