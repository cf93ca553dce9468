"""The body of a Converse request, as far as the simulator takes it. Every unknown field is refused, at any depth."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_TAG = r"^[a-zA-Z0-9\s:_@$#=/+,.-]*$"


class Part(BaseModel):
    """Base of all parts of a request; fields have the vendor's names by alias."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CachePoint(Part):
    """A cache breakpoint."""

    type: Literal["default"]
    ttl: Literal["5m", "1h"] = "5m"


class Block(Part):
    """A piece of text, or a breakpoint behind the pieces before it."""

    text: Annotated[str, Field(min_length=1)] | None = None
    cache_point: Annotated[CachePoint | None, Field(alias="cachePoint")] = None


class Message(Part):
    """One turn."""

    role: Literal["user", "assistant"]
    content: Annotated[list[Block], Field(min_length=1)]


class InferenceConfig(Part):
    """Bounds of the answer."""

    max_tokens: Annotated[int | None, Field(alias="maxTokens", ge=1)] = None


class InputSchema(Part):
    """The schema of a tool's input."""

    json_: Annotated[dict[str, Any], Field(alias="json")]


class ToolSpec(Part):
    """A tool of the caller's."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Annotated[str, Field(min_length=1)] | None = None
    input_schema: Annotated[InputSchema, Field(alias="inputSchema")]
    strict: bool | None = None


class Tool(Part):
    """One entry of `tools`."""

    tool_spec: Annotated[ToolSpec, Field(alias="toolSpec")]


class Named(Part):
    """A tool by its name."""

    name: str


class ToolChoice(Part):
    """Which tool is called; one of these."""

    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: Named | None = None


class ToolConfig(Part):
    """Tools, and which one is called."""

    tools: Annotated[list[Tool], Field(min_length=1)]
    tool_choice: Annotated[ToolChoice, Field(alias="toolChoice")] = ToolChoice()


class JsonSchema(Part):
    """A schema as text."""

    name: str | None = None
    description: str | None = None
    schema_: Annotated[str, Field(alias="schema")]


class Structure(Part):
    """The structure of the answer."""

    json_schema: Annotated[JsonSchema, Field(alias="jsonSchema")]


class TextFormat(Part):
    """The format of the answer."""

    type: Literal["json_schema"]
    structure: Structure


class OutputConfig(Part):
    """How the answer looks."""

    text_format: Annotated[TextFormat | None, Field(alias="textFormat")] = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class Thinking(Part):
    """Whether the model thinks."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1_024)] | None = None


class ModelFields(Part):
    """What is passed to the model as it is."""

    thinking: Thinking | None = None


class ServiceTier(Part):
    """What the call is worth."""

    type: Literal["priority", "default", "flex", "reserved"]


class ConverseRequest(Part):
    """A request for an answer."""

    messages: Annotated[list[Message], Field(min_length=1)]
    system: list[Block] = []
    inference: Annotated[InferenceConfig, Field(alias="inferenceConfig")] = InferenceConfig()
    tool_config: Annotated[ToolConfig | None, Field(alias="toolConfig")] = None
    output: Annotated[OutputConfig, Field(alias="outputConfig")] = OutputConfig()
    passed_on: Annotated[ModelFields, Field(alias="additionalModelRequestFields")] = ModelFields()
    metadata: Annotated[
        dict[
            Annotated[str, Field(pattern=_TAG, min_length=1, max_length=256)],
            Annotated[str, Field(pattern=_TAG, max_length=256)],
        ],
        Field(alias="requestMetadata", max_length=16),
    ] = {}
    service_tier: Annotated[ServiceTier | None, Field(alias="serviceTier")] = None
