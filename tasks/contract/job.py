"""The job that a pipeline enqueues."""

import json
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .errors import FailureCode, JobRefused
from .fields import Content, HttpUrl, Identifier, Language, Name, ReferenceTime
from .limits import LIMITS
from .problems import problems


class Payload(BaseModel):
    """Strict about names, silent about values: an error never repeats what the customer sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EpisodeKind(StrEnum):
    """How an episode's content is to be read."""

    MESSAGE = "message"
    TEXT = "text"
    JSON = "json"


def _unless(kind: EpisodeKind, **properties: Any) -> dict[str, Any]:
    """JSON Schema: what holds for `properties` in episodes of any other kind."""
    of_kind = {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]}
    return {"if": of_kind, "else": {"properties": properties}}


class Episode(Payload):
    """One unit of input."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _unless(EpisodeKind.JSON, content={"type": "string"}),
                _unless(EpisodeKind.MESSAGE, speaker={"type": "null"}, role={"type": "null"}),
            ]
        }
    )

    #: Unique in the job, context included; results refer to it. An id.
    id: Identifier
    #: How the content is to be read.
    kind: EpisodeKind = EpisodeKind.TEXT
    #: Text, or for `json` any JSON value. A `json` episode may also hold a string of serialised JSON.
    content: Content
    #: When it was said or written; relative dates resolve against it. No offset means UTC; numbers are refused.
    reference_time: ReferenceTime | None = None
    #: Who speaks (messages only): the name that memories should carry.
    speaker: Name | None = None
    #: The speaker's part in the conversation (messages only): `user`, `assistant`, …
    role: Name | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind is not EpisodeKind.JSON and not isinstance(self.content, str):
            raise ValueError(f"content of kind '{self.kind.value}' must be a string; use kind 'json' for data")
        try:
            text = self.text
            text.encode()
        except ValueError:
            raise ValueError(
                "content is not plain JSON in UTF-8: no NaN, no infinity, no lone surrogates, no integer beyond "
                "4,300 digits"
            ) from None
        if not text.strip() or self.content in (None, {}, []):
            raise ValueError("content is empty")
        if len(text) > LIMITS.episode_chars:
            raise ValueError(
                f"content has {len(text)} characters; the limit is {LIMITS.episode_chars}. "
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
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Priority(StrEnum):
    """How long a job may wait."""

    #: Somebody waits for it.
    LIVE = "live"
    #: It can wait: it gets what live jobs leave, and a small share in any case.
    BACKFILL = "backfill"


class EntityType(Payload):
    """A kind of entity that this job wants told apart."""

    #: Letters, digits, `_`, `-` and spaces, the first a letter.
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_ -]*$", max_length=LIMITS.entity_type_chars)]
    #: When to use it.
    description: Annotated[str, StringConstraints(max_length=LIMITS.description_chars)] = ""


class ExtractionJob(Payload):
    """One or more episodes of one project, to be turned into memories."""

    #: The project whose connections are used. An id.
    project: Identifier
    #: What memories are extracted from.
    episodes: Annotated[list[Episode], Field(min_length=1, max_length=LIMITS.episodes)]
    #: Makes sending again harmless: the same key of the same project never runs twice. A name.
    idempotency_key: Name | None = None
    #: Jobs of the same session of a project run one after another, in the order in which they were enqueued. A name.
    session: Name | None = None
    #: `live`, or `backfill` for what can wait.
    priority: Priority = Priority.LIVE
    #: Whether it may take the vendor's cheaper, slower ways, up to a day; where there are none, it is worked as others.
    economy: bool = False
    #: Earlier episodes, for reference only: nothing is extracted from them.
    context: Annotated[list[Episode], Field(max_length=LIMITS.context_episodes)] = []
    #: Replaces the default set of entity types.
    entity_types: Annotated[list[EntityType], Field(max_length=LIMITS.entity_types)] = []
    #: What this project cares about, in plain words.
    instructions: Annotated[str, StringConstraints(max_length=LIMITS.instructions_chars)] | None = None
    #: BCP 47 language of the memories; absent means the language of the episode.
    language: Language | None = None
    #: For attribution of usage and cost; passed on to the provider where it has a field for them. Keys are ids, values
    #: names.
    labels: Annotated[
        dict[Identifier, Name],
        Field(max_length=LIMITS.labels, json_schema_extra={"additionalProperties": False}),
    ] = {}
    #: Episodes that have at most so many tokens together, by estimate, share one prompt; absent: each has its own.
    pack_tokens: Annotated[int, Field(strict=True, ge=1, le=LIMITS.pack_tokens)] | None = None
    #: Where the result, or the failure, is posted when the job ends, signed with the project's webhook secret, which
    #: must be there. A public `https` address without user name and password.
    callback_url: HttpUrl | None = None

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        # Context counts too: facts name their episode by id.
        first: dict[str, str] = {}
        for field, episodes in (("episodes", self.episodes), ("context", self.context)):
            for index, episode in enumerate(episodes):
                place = f"{field}.{index}"
                if first.setdefault(episode.id, place) != place:
                    raise ValueError(f"{first[episode.id]} and {place} have the same id; ids must differ")
        return self

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
        lines = [str(problem) for problem in problems(error, whole="job")]
    # Raised outside the handler: what pydantic raised holds the payload, and must not hang on this as its context.
    message = f"The job was refused: {'; '.join(lines)}. Mend the payload and send it again."
    raise JobRefused(message, {"code": FailureCode.INVALID_JOB, "problems": lines})
