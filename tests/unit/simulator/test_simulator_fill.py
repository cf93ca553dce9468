"""Whatever schema is asked for, the simulated model's answer satisfies it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from workers.embedded.simulator.brain.extract import Findings, extract
from workers.embedded.simulator.brain.fill import fill
from workers.embedded.simulator.brain.passage import Passage

FOUND = extract(Passage(text="I moved to Lisbon in May 2026. I love hiking.", speaker="Ana Ruiz"))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Kind(StrEnum):
    PLACE = "Place"
    PERSON = "Person"
    OTHER = "Other"


class Node(Strict):
    entity_name: str
    kind: Kind
    description: Annotated[str, Field(max_length=10)]
    children: "list[Node]"


class Edge(Strict):
    quote: str
    source: str
    relation: str
    target: str
    valid_from: date | None
    end_date: datetime | None
    since: datetime
    confidence: Annotated[float, Field(ge=0, le=1)]
    weight: Annotated[int, Field(ge=3)]
    direction: Literal["forward"]


class Graph(Strict):
    nodes: list[Node]
    edges: Annotated[list[Edge], Field(max_length=1)]
    note: str
    tags: Annotated[list[str], Field(min_length=2)]


def test_foreign_names_of_properties_get_what_was_found() -> None:
    schema = Graph.model_json_schema()
    schema["$defs"]["Edge"]["properties"]["since"] = {"type": "string", "enum": ["2026-01-01T00:00:00Z"]}

    graph = Graph.model_validate(fill(schema, FOUND))

    assert [(node.entity_name, node.kind) for node in graph.nodes] == [
        ("Ana Ruiz", Kind.PERSON),
        ("Lisbon", Kind.PLACE),
    ]
    (edge,) = graph.edges
    assert (edge.source, edge.relation, edge.target) == ("Ana Ruiz", "LIVES_IN", "Lisbon")
    assert edge.valid_from == date(2026, 5, 1)
    assert edge.end_date is None
    assert graph.note == ""


SCHEMAS: list[tuple[Any, Any]] = [
    ({"type": "object", "properties": {"ok": {"type": "boolean"}}}, {"ok": True}),
    ({"type": "object", "properties": {"flag": {"type": "boolean"}}}, {"flag": False}),
    ({"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}, {"n": None}),
    ({"type": "object", "properties": {"n": {"type": "integer", "minimum": 4}}}, {"n": 4}),
    ({"type": "object", "properties": {"c": {"const": 7}}}, {"c": 7}),
    ({"type": "object", "properties": {"z": {"type": "null"}}}, {"z": None}),
    ({"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "string"}]}}}, {"x": None}),
    ({"type": "object", "properties": {"x": {"enum": ["a", "unknown"]}}}, {"x": "unknown"}),
    ({"type": "object", "properties": {"facts": {"type": "array", "items": {"type": "string"}}}}, {"facts": []}),
    ({"type": "object", "properties": {}}, {}),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS, ids=str)
def test_nothing_found_gives_the_least_that_fits(schema: Any, expected: Any) -> None:
    assert fill(schema, Findings()) == expected


def test_facts_as_plain_texts() -> None:
    model = create_model("Memories", memories=(list[str], ...))

    assert fill(model.model_json_schema(), FOUND) == {
        "memories": ["Ana Ruiz moved to Lisbon.", "Ana Ruiz likes hiking."]
    }


def test_recursion_ends() -> None:
    schema = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }

    depth, node = 0, fill(schema, FOUND)
    while "next" in node:
        depth, node = depth + 1, node["next"]

    assert 0 < depth < 20
    assert node == {"name": ""}


def test_a_schema_that_requires_itself_ends_too() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}

    assert fill(schema, FOUND)
