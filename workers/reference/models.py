"""Tables of the fields of pydantic models, each with what a value may be, its default, and its meaning."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

from workers.reference.comments import meanings
from workers.reference.kinds import Schema, default_of, takes
from workers.reference.markdown import anchor, code, table

#: Name of a model → the page that its table is on, seen from the page that is printed; of its own page an empty text.
Places = Mapping[str, str]
Mode = Literal["validation", "serialization"]

#: Definitions that are not told field by field, and what they are called instead.
_ELSEWHERE = {
    "FailureCode": "a [failure code](../contract.md#failures)",
    "ProviderKind": "a [kind of provider](../providers.md)",
    "EventKind": "a kind of the table above",
    "Record": "object",
}


def sections(models: Sequence[type[BaseModel]], places: Places, *, mode: Mode) -> Iterator[str]:
    """A section for each model: what it is, and its fields.

    Raises:
        KeyError: a field has no comment that begins with `#:`, or is of a model that is on no page.
    """
    for model in models:
        schema = model.model_json_schema(mode=mode)
        yield f"## {model.__name__}\n\n{_says(model)}\n\n{_fields(model, schema, places)}"


def _fields(model: type[BaseModel], schema: dict[str, Any], places: Places) -> str:
    told, required = meanings(model), schema.get("required", [])
    refer = _referring(schema.get("$defs", {}), places)
    rows = (
        (code(name), takes(field, refer), "required" if name in required else _default(field), told[name])
        for name, field in schema["properties"].items()
    )
    return table(("field", "takes", "default", "what it is"), rows)


def _referring(definitions: Mapping[str, Schema], places: Places) -> Callable[[str], str]:
    def refer(name: str) -> str:
        if name in _ELSEWHERE:
            return _ELSEWHERE[name]
        if choices := definitions[name].get("enum"):
            return " or ".join(map(code, choices))
        return f"[{name}]({places[name]}#{anchor(name)})"

    return refer


def _default(schema: Schema) -> str:
    default = schema.get("default")
    # What is empty is there, but says nothing; a model whose fields all have defaults tells them itself.
    return "none" if isinstance(default, list | dict) else default_of(default)


def _says(of: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(of) or "").split())


def members(of: type[Enum]) -> Iterator[tuple[str, str]]:
    """Each value of an enumeration with its meaning.

    Raises:
        KeyError: one has no comment that begins with `#:`.
    """
    told = meanings(of)
    return ((str(member.value), told[name]) for name, member in of.__members__.items())
