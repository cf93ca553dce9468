"""The body of a Messages request, as far as the simulator takes it. Every unknown field is refused, at any depth."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """Base of all parts of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CacheControl(Part):
    """A cache breakpoint."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class TextBlock(Part):
    """A piece of text."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]
    cache_control: CacheControl | None = None


Content = Annotated[str, Field(min_length=1)] | list[TextBlock]


class Message(Part):
    """One turn."""

    role: Literal["user", "assistant"]
    content: Content


class Tool(Part):
    """A tool of the caller's."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoice(Part):
    """Which tool is called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Part):
    """Whether the model thinks."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1_024)] | None = None


class JsonFormat(Part):
    """The schema of the answer."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Part):
    """How the answer looks."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(Part):
    """Who asks."""

    user_id: Annotated[str, Field(max_length=256)] | None = None


class CountRequest(Part):
    """What token counting and answering have in common."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    thinking: Thinking | None = None
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig = OutputConfig()
    cache_control: CacheControl | None = None


class MessagesRequest(CountRequest):
    """A request for an answer."""

    max_tokens: Annotated[int, Field(ge=1)]
    metadata: Metadata = Metadata()
    service_tier: Literal["auto", "standard_only"] = "auto"
    stop_sequences: list[str] = []
    inference_geo: str | None = None
    stream: Literal[False] = False
