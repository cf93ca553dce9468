"""The job that a pipeline enqueues."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .errors import FailureCode, JobRefused
from .limits import LIMITS

#: Ids are path segments and Redis key parts; a narrow alphabet keeps both safe.
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=LIMITS.name_chars)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.name_chars, strip_whitespace=True)]


def _aware(value: Any) -> Any:
    """A time without an offset is taken as UTC, so that every producer means the same instant."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


ReferenceTime = Annotated[AwareDatetime, BeforeValidator(_aware)]


def _http_url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    return value


class Payload(BaseModel):
    """Strict about names, silent about values: an error never repeats what the customer sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EpisodeKind(StrEnum):
    """How an episode's content is to be read."""

    MESSAGE = "message"
    TEXT = "text"
    JSON = "json"


class Episode(Payload):
    """One unit of input."""

    id: Identifier
    kind: EpisodeKind = EpisodeKind.TEXT
    #: Text, or for `json` any JSON value. A `json` episode may also hold a string of serialised JSON.
    content: JsonValue
    #: When it was said or written; relative dates resolve against it. No offset means UTC.
    reference_time: ReferenceTime | None = None
    #: Who speaks (messages only): the name that memories should carry.
    speaker: Name | None = None
    #: The speaker's part in the conversation (messages only): `user`, `assistant`, …
    role: Name | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind is EpisodeKind.JSON:
            depth = _depth(self.content)
            if depth > LIMITS.json_depth:
                raise ValueError(f"content is nested {depth} deep; the limit is {LIMITS.json_depth}")
        elif not isinstance(self.content, str):
            raise ValueError(f"content of kind '{self.kind.value}' must be a string; use kind 'json' for data")
        if not self.text.strip():
            raise ValueError("content is empty")
        if len(self.text) > LIMITS.episode_chars:
            raise ValueError(
                f"content has {len(self.text)} characters; the limit is {LIMITS.episode_chars}. "
                "Split it into several episodes"
            )
        if self.kind is not EpisodeKind.MESSAGE and (self.speaker or self.role):
            raise ValueError("speaker and role belong to episodes of kind 'message'")
        return self

    @property
    def text(self) -> str:
        """The content as the model will read it."""
        if isinstance(self.content, str):
            return self.content
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":"))


class EntityType(Payload):
    """A kind of entity that this job wants told apart."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_ -]*$", max_length=64)]
    description: Annotated[str, StringConstraints(max_length=500)] = ""


class ExtractionJob(Payload):
    """One or more episodes of one project, to be turned into memories."""

    project: Identifier
    episodes: Annotated[list[Episode], Field(min_length=1, max_length=LIMITS.episodes)]
    #: The same key of the same project never runs twice.
    idempotency_key: Name | None = None
    #: Earlier episodes, for reference only: nothing is extracted from them.
    context: Annotated[list[Episode], Field(max_length=LIMITS.context_episodes)] = []
    #: Replaces the default set of entity types.
    entity_types: Annotated[list[EntityType], Field(max_length=LIMITS.entity_types)] = []
    #: What this project cares about, in plain words.
    instructions: Annotated[str, StringConstraints(max_length=LIMITS.instructions_chars)] | None = None
    #: BCP 47 language of the memories; absent means the language of the episode.
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    #: For attribution; passed on to the provider where it has a field for them.
    labels: Annotated[dict[Identifier, Name], Field(max_length=LIMITS.labels)] = {}
    #: Where the result is posted when the job ends. Accepted and kept; see the docs for what delivers it.
    callback_url: Annotated[str, StringConstraints(max_length=2_048), AfterValidator(_http_url)] | None = None

    @field_validator("episodes", "context")
    @classmethod
    def _unique_ids(cls, episodes: list[Episode], info: ValidationInfo) -> list[Episode]:
        seen: set[str] = set()
        for episode in episodes:
            if episode.id in seen:
                raise ValueError(f"two {info.field_name} have the id '{episode.id}'; ids must differ")
            seen.add(episode.id)
        return episodes

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        chars = sum(len(episode.text) for episode in (*self.episodes, *self.context))
        if chars > LIMITS.job_chars:
            raise ValueError(
                f"episodes and context have {chars} characters together; the limit is {LIMITS.job_chars}. "
                "Send several jobs"
            )
        return self


def parse_job(payload: Any) -> ExtractionJob:
    """Validate a payload from outside.

    Args:
        payload: an `ExtractionJob`, a JSON-like mapping, or JSON text.

    Raises:
        JobRefused: with one line per problem (field, what is wrong, the limit) and never the value.
    """
    if isinstance(payload, ExtractionJob):
        return payload
    try:
        if isinstance(payload, str | bytes):
            return ExtractionJob.model_validate_json(payload)
        return ExtractionJob.model_validate(payload)
    except ValidationError as error:
        problems = [_problem(entry) for entry in error.errors(include_input=False, include_url=False)]
        message = f"The job was refused: {'; '.join(problems)}. Mend the payload and send it again."
        raise JobRefused(message, {"code": FailureCode.INVALID_JOB, "problems": problems}) from None


def _problem(entry: Any) -> str:
    """One pydantic error as `field: what is wrong`; the value itself may be private and is left out."""
    field = ".".join(str(part) for part in entry["loc"]) or "job"
    return f"{field}: {entry['msg'].removeprefix('Value error, ')}"


def _depth(value: JsonValue) -> int:
    """Nesting depth, counted without recursion so that a hostile payload cannot exhaust the stack."""
    deepest = 0
    stack: list[tuple[JsonValue, int]] = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(node, dict):
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
    return deepest
