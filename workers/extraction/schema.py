"""The shape of a model's answer: as JSON Schema for the vendor, as pydantic models for what comes back."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from tasks.contract import LIMITS

#: A change of fields or of their meaning is a new version.
SCHEMA_VERSION: Final = "1"
#: What vendors call the schema.
SCHEMA_NAME: Final = f"memories_v{SCHEMA_VERSION}"
#: The same of the answer about several episodes.
PACKED_SCHEMA_VERSION: Final = f"{SCHEMA_VERSION}-packed"
PACKED_SCHEMA_NAME: Final = f"memories_v{SCHEMA_VERSION}_packed"

#: Characters of an object that is a literal.
LITERAL_CHARS: Final = 256
#: Characters of a fact's sentence, of an entity's summary and of a quote.
SENTENCE_CHARS: Final = 1_000
#: Characters of a type or a predicate.
LABEL_CHARS: Final = 64


def _object(*names: str, **others: Any) -> dict[str, Any]:
    properties = {name: others.get(name, {"type": "string"}) for name in names}
    return {"type": "object", "properties": properties, "required": list(names), "additionalProperties": False}


#: In the portable subset. Fields are generated in this order: evidence stands before what it supports. No descriptions
#: (the prompt has them) and nothing of the customer's (vendors keep schemas). Shared by all prompts: never changed.
SCHEMA: Final[dict[str, Any]] = _object(
    "entities",
    "facts",
    entities={"type": "array", "items": _object("name", "type", "summary")},
    facts={
        "type": "array",
        "items": _object("evidence", "subject", "predicate", "object", "fact", "valid_at", "invalid_at"),
    },
)

#: The same for several episodes, each with its key: deep as the portable subset goes, and no deeper.
PACKED_SCHEMA: Final[dict[str, Any]] = _object(
    "episodes",
    episodes={"type": "array", "items": _object("episode", *SCHEMA["properties"], **SCHEMA["properties"])},
)

#: C0 and C1 controls but for whitespace; databases downstream choke on them.
_CONTROLS = dict.fromkeys([*range(9), *range(14, 28), *range(127, 133), *range(134, 160)])


def _as_text(value: Any) -> Any:
    """Scalars as text on one line; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else value
    if not value.isprintable():
        # A lone surrogate is valid in JSON and cannot be written out again.
        value = value.encode("utf-8", "ignore").decode("utf-8").translate(_CONTROLS)
    return " ".join(value.split())


_Text = BeforeValidator(_as_text)
# Bounds stand before it, nearer to the type: so pydantic checks them in its core, and not in Python.
_NameText = Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.name_chars), _Text]


class Raw(BaseModel):
    """One element of an answer, cleaned but not yet checked against the episode. Unknown keys are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class RawEntity(Raw):
    """An entity as the model wrote it."""

    name: _NameText
    type: Annotated[str, _Text] = ""
    summary: Annotated[str, _Text] = ""


class RawFact(Raw):
    """A fact as the model wrote it."""

    evidence: Annotated[str, _Text] = ""
    subject: _NameText
    predicate: Annotated[str, StringConstraints(min_length=1, max_length=LABEL_CHARS), _Text]
    object: Annotated[str, StringConstraints(min_length=1, max_length=LITERAL_CHARS), _Text]
    fact: Annotated[str, StringConstraints(min_length=1, max_length=SENTENCE_CHARS), _Text]
    valid_at: Annotated[str, _Text] = ""
    invalid_at: Annotated[str, _Text] = ""
