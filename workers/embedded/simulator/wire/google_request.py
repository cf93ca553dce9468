"""The body of a `generateContent` request, as far as the simulator takes it. Unknown fields are refused at any depth.

Fields may be written in camel case or in snake case, as everywhere in Google's JSON.
"""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_LETTERS, _DIGITS = ("Ll", "Lo"), ("Nd", "Nl", "No")
_LABELS, _LABEL_LENGTH = 64, 63


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > _LABELS:
        raise ValueError(f"at most {_LABELS} labels are allowed")
    for key, value in labels.items():
        if unicodedata.category(key[:1] or " ") not in _LETTERS:
            raise ValueError("label keys must start with a lowercase letter")
        if not (_is_label(key) and _is_label(value)):
            raise ValueError(
                f"label keys and values can be no longer than {_LABEL_LENGTH} characters and can only contain "
                "lowercase letters, numeric characters, underscores and dashes"
            )
    return labels


def _is_label(text: str) -> bool:
    allowed = (*_LETTERS, *_DIGITS)
    return len(text) <= _LABEL_LENGTH and all(
        letter in "_-" or unicodedata.category(letter) in allowed for letter in text
    )


class Message(BaseModel):
    """Base of all parts of a request."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, alias_generator=to_camel, populate_by_name=True
    )


class Part(Message):
    """A piece of text; nothing else is simulated."""

    text: str


class Content(Message):
    """One turn."""

    role: Literal["user", "model"] | None = None
    parts: Annotated[list[Part], Field(min_length=1)]

    @property
    def text(self) -> str:
        """All pieces."""
        return "\n".join(part.text for part in self.parts)


class ThinkingConfig(Message):
    """How much to think."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(Message):
    """How to answer."""

    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    #: More than one is not simulated.
    candidate_count: Literal[1] = 1
    response_mime_type: Literal["text/plain", "application/json"] = "text/plain"
    response_json_schema: dict[str, Any] | None = None
    thinking_config: ThinkingConfig = ThinkingConfig()
    seed: int | None = None
    stop_sequences: list[str] = []
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: float | None = None


class SafetySetting(Message):
    """How strict one filter is."""

    category: str
    threshold: str


class GenerateRequest(Message):
    """What both endpoints take."""

    contents: Annotated[Sequence[Content], Field(min_length=1)]
    system_instruction: Content | None = None
    generation_config: GenerationConfig = GenerationConfig()
    safety_settings: list[SafetySetting] = []
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] = {}

    @property
    def kept(self) -> bool:
        """Whether the vendor would keep prompt and answer."""
        return False

    @property
    def tier(self) -> str | None:
        """The cheaper tier that it asks for."""
        return None


class GeminiRequest(GenerateRequest):
    """What the Gemini API takes."""

    store: bool = True
    service_tier: Literal["unspecified", "standard", "flex", "priority"] = "standard"

    @property
    def kept(self) -> bool:
        """Unless the request says otherwise."""
        return self.store

    @property
    def tier(self) -> str | None:
        """Flex, or none."""
        return "flex" if self.service_tier == "flex" else None


class NamedContent(Content):
    """One turn that says whose it is."""

    role: Literal["user", "model"]


class VertexRequest(GenerateRequest):
    """What Vertex AI takes."""

    contents: Annotated[Sequence[NamedContent], Field(min_length=1)]


class CountRequest(Message):
    """A request for counted tokens."""

    contents: list[Content] = []
    system_instruction: Content | None = None
    #: The Gemini API counts whole requests.
    generate_content_request: dict[str, Any] | None = None
