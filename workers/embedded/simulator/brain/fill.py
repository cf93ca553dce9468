"""Writing findings into any JSON Schema: known properties get what was found, unknown ones the least that fits."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workers.embedded.simulator.brain.extract import Findings
from workers.embedded.simulator.schemas import resolve

Json = Mapping[str, Any]
Record = Mapping[str, Any]

#: Other names that schemas give to what the findings hold.
_ALIASES: Final = {
    "entity": "name",
    "entity_name": "name",
    "label": "name",
    "title": "name",
    "entity_type": "type",
    "kind": "type",
    "category": "type",
    "description": "summary",
    "source": "subject",
    "source_entity": "subject",
    "subject_name": "subject",
    "relation": "predicate",
    "relation_type": "predicate",
    "relationship": "predicate",
    "target": "object",
    "target_entity": "object",
    "object_name": "object",
    "value": "object",
    "statement": "fact",
    "sentence": "fact",
    "text": "fact",
    "content": "fact",
    "quote": "evidence",
    "valid_from": "valid_at",
    "start_date": "valid_at",
    "valid_until": "invalid_at",
    "end_date": "invalid_at",
}
_ENTITIES: Final = frozenset({"entities", "nodes", "extracted_entities", "people", "names"})
_FACTS: Final = frozenset({"facts", "edges", "relations", "relationships", "statements", "memories", "triples"})
#: Of a prompt about several episodes: the list that has an element for each.
EPISODES: Final = "episodes"
_AFFIRMATIVE: Final = frozenset({"ok", "success", "ready", "valid"})
#: Beyond this, only required properties are written.
_DEPTH = 12
#: Beyond this, a schema requires itself and no finite answer satisfies it.
_HOPELESS = 30
_DATES: Final = frozenset({"date", "date-time"})


def fill(schema: Json, findings: Findings) -> Any:
    """The smallest useful value that satisfies a schema."""
    return _Filler(schema, findings).value(schema, "", {}, 0)


class _Filler:
    """One schema and what is to be written into it."""

    def __init__(self, root: Json, findings: Findings) -> None:
        self._root = root
        self._findings = findings

    def value(self, schema: Json, name: str, record: Record, depth: int) -> Any:
        """A value for one property (or the root) of a record."""
        given = record.get(name, record.get(_ALIASES.get(name, ""), None))
        if given in {None, ""} and name and _nullable(schema):
            return None
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _choose(schema["enum"], given)
        kind = _kind(schema)
        if kind == "object" or "properties" in schema:
            return self._object(schema, record, depth)
        if kind == "array":
            return self._array(schema, name, record, depth)
        return _scalar(schema, kind, name, given)

    def _resolve(self, schema: Json) -> Json:
        """Follow references, and take the first branch that is not null."""
        for _ in range(_DEPTH):
            if "$ref" in schema:
                schema = resolve(self._root, schema["$ref"])
                continue
            branches = schema.get("anyOf") or schema.get("oneOf")
            if not branches:
                break
            schema = next((branch for branch in branches if branch.get("type") != "null"), branches[0])
        return schema

    def _object(self, schema: Json, record: Record, depth: int) -> dict[str, Any]:
        if depth > _HOPELESS:
            return {}
        required = set(schema.get("required", ()))
        return {
            name: self.value(child, name, record, depth + 1)
            for name, child in schema.get("properties", {}).items()
            if depth < _DEPTH or name in required
        }

    def _array(self, schema: Json, name: str, record: Record, depth: int) -> list[Any]:
        if depth >= _DEPTH:
            return []
        items = schema.get("items") or {}
        if name == EPISODES and self._findings.parts:
            return [
                _Filler(self._root, part).value(items, name, {"episode": key}, depth + 1)
                for key, part in self._findings.parts.items()
            ]
        records: Sequence[Record]
        if name in _ENTITIES:
            records = self._findings.entities
        elif name in _FACTS:
            records = self._findings.facts
        else:
            records = [record] * int(schema.get("minItems", 0))
        texts = _kind(self._resolve(items)) == "string"
        values = [
            record.get("fact") or record.get("name") or "" if texts else self.value(items, name, record, depth + 1)
            for record in records
        ]
        return values[: int(schema.get("maxItems", len(values)))]


def _nullable(schema: Json) -> bool:
    kind = schema.get("type")
    branches = schema.get("anyOf") or schema.get("oneOf") or ()
    return (isinstance(kind, list) and "null" in kind) or any(branch.get("type") == "null" for branch in branches)


def _kind(schema: Json) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    return kind


def _choose(values: Sequence[Any], given: Any) -> Any:
    """The enum member that says the same, else the one for everything else, else the first."""
    lowered = {str(value).lower(): value for value in values}
    return lowered.get(str(given).lower(), lowered.get("other", lowered.get("unknown", values[0])))


def _scalar(schema: Json, kind: str | None, name: str, given: Any) -> Any:
    match kind:
        case "boolean":
            return name in _AFFIRMATIVE
        case "integer":
            return int(schema.get("minimum", 0))
        case "number":
            return float(schema.get("maximum", 1.0)) if name in {"confidence", "score"} else schema.get("minimum", 0.0)
        case "null":
            return None
        case _:
            text = "" if given is None else str(given)
            if text and schema.get("format") in _DATES:
                text += "-01-01"[len(text) - len("YYYY") :] + ("T00:00:00Z" if schema["format"] == "date-time" else "")
            return text[: int(schema.get("maxLength", len(text)))]
