import json
from typing import Any

import pytest

from tests.portable import lint
from workers.extraction.schema import SCHEMA, SCHEMA_NAME, RawEntity, RawFact

STRING = {"type": "string"}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nested(depth: int) -> dict[str, Any]:
    schema = closed(leaf=STRING)
    for _ in range(depth - 1):
        schema = closed(child=schema)
    return schema


def test_our_schema_is_portable() -> None:
    assert lint(SCHEMA) == []


def test_our_schema_asks_for_exactly_what_is_read_back() -> None:
    properties = SCHEMA["properties"]

    assert list(properties["entities"]["items"]["properties"]) == list(RawEntity.model_fields)
    assert list(properties["facts"]["items"]["properties"]) == list(RawFact.model_fields)


def test_evidence_is_generated_before_what_it_supports() -> None:
    assert next(iter(SCHEMA["properties"]["facts"]["items"]["properties"])) == "evidence"
    assert list(SCHEMA["properties"]) == ["entities", "facts"], "facts refer to entities by name"


def test_our_schema_names_nothing_of_the_customer_and_stays_the_same() -> None:
    assert json.dumps(SCHEMA).count("description") == 0
    assert SCHEMA_NAME == "memories_v1"


@pytest.mark.parametrize(
    "schema",
    [
        closed(a=STRING),
        closed(a={"type": "string", "enum": ["x"], "description": "One of."}),
        closed(a={"type": "array", "items": {"type": "integer"}}, b={"type": "boolean"}, c={"type": "number"}),
        nested(5),
        closed(**{f"p{i}": STRING for i in range(64)}),
    ],
)
def test_portable_schemas_pass(schema: dict[str, Any]) -> None:
    assert lint(schema) == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        # root
        ({"type": "array", "items": STRING}, "$: the root must be an object"),
        ({"anyOf": [closed(a=STRING)]}, "$: needs one type"),
        ("object", "$: needs one type"),
        ({"$ref": "#/$defs/a"}, "$: needs one type"),
        # types
        (closed(a={"type": ["string", "null"]}), "$.a: needs one type"),
        (closed(a={"type": "null"}), "$.a: needs one type"),
        (closed(a={"anyOf": [STRING, {"type": "null"}]}), "$.a: needs one type"),
        (closed(a={"const": "x"}), "$.a: needs one type"),
        (closed(a=True), "$.a: needs one type"),
        # objects
        ({**closed(a=STRING), "required": []}, "$: required must list all"),
        ({**closed(a=STRING, b=STRING), "required": ["b", "a"]}, "$: required must list all"),
        ({**closed(a=STRING), "additionalProperties": True}, "$: additionalProperties must be false"),
        ({"type": "object", "properties": {"a": STRING}, "required": ["a"]}, "additionalProperties must be false"),
        ({"type": "object", "additionalProperties": STRING}, "$: an object needs properties"),
        ({**closed(a=STRING), "$defs": {}}, "$: '$defs' is not portable"),
        ({**closed(a=STRING), "title": "T"}, "$: 'title' is not portable"),
        ({**closed(a=STRING), "patternProperties": {}}, "$: 'patternProperties' is not portable"),
        (closed(**{"with space": STRING}), "$: a property's name"),
        (closed(**{"a" * 65: STRING}), "$: a property's name"),
        # arrays
        (closed(a={"type": "array"}), "$.a[]: needs one type"),
        (closed(a={"type": "array", "items": {}}), "$.a[]: needs one type"),
        (closed(a={"type": "array", "items": STRING, "maxItems": 3}), "$.a: 'maxItems' is not portable"),
        (closed(a={"type": "array", "prefixItems": [STRING]}), "$.a: 'prefixItems' is not portable"),
        # scalars
        (closed(a={"type": "string", "format": "date"}), "$.a: 'format' is not portable"),
        (closed(a={"type": "string", "maxLength": 3}), "$.a: 'maxLength' is not portable"),
        (closed(a={"type": "integer", "minimum": 0}), "$.a: 'minimum' is not portable"),
        (closed(a={"type": "string", "default": ""}), "$.a: 'default' is not portable"),
        (closed(a={"type": "integer", "enum": [1]}), "$.a: 'enum' is not portable"),
        (closed(a={"type": "string", "enum": ["x", None]}), "$.a: enum must be a list of strings"),
        (closed(a={"type": "string", "enum": []}), "$.a: enum must be a list of strings"),
        (closed(a={"type": "string", "description": "d" * 301}), "$.a: the description"),
        # sizes
        (nested(6), "nested 6 deep; the limit is 5"),
        (closed(**{f"p{i}": STRING for i in range(65)}), "$: 65 properties in total"),
        (closed(a={"type": "string", "enum": [str(i) for i in range(101)]}), "$: 101 enum values in total"),
        # deep inside
        (closed(a={"type": "array", "items": closed(b={"type": "string", "pattern": "x"})}), "$.a[].b: 'pattern'"),
    ],
)
def test_what_some_vendor_refuses_is_named_with_its_place(schema: Any, problem: str) -> None:
    problems = lint(schema)

    assert any(problem in line for line in problems), problems
