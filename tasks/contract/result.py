"""What a job returns."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .errors import ExtractionFailed, FailureCode
from .job import Priority
from .names import CONTRACT_VERSION, ProviderKind, Tier

#: Newer workers may know kinds and reasons that this reader does not: those are read as plain text.
ReportedProvider = Annotated[ProviderKind | str, Field(union_mode="left_to_right")]
ReportedCode = Annotated[FailureCode | str, Field(union_mode="left_to_right")]
ReportedTier = Annotated[Tier | str, Field(union_mode="left_to_right")]
ReportedPriority = Annotated[Priority | str, Field(union_mode="left_to_right")]


class Record(BaseModel):
    """Read what newer workers write: unknown fields are ignored, so that old readers go on working."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Role(StrEnum):
    """A connection's place in the chain."""

    PRIMARY = "primary"
    FALLBACK = "fallback"


class Entity(Record):
    """A person, place, thing or idea that the episode names."""

    #: Stable within a project: a hash of project, type and normalised name.
    id: str
    name: str
    type: str
    summary: str = ""
    episode_ids: list[str]


class Fact(Record):
    """A statement that the episode makes; subject and object are names of entities of the same result."""

    #: Stable within a project: a hash of project, subject, predicate and object.
    id: str
    subject: str
    predicate: str
    #: An entity's name, or a literal when `object_is_literal`.
    object: str
    object_is_literal: bool = False
    #: One self-contained sentence.
    fact: str
    valid_at: AwareDatetime | None = None
    invalid_at: AwareDatetime | None = None
    #: Quoted from the episode.
    evidence: str
    episode_id: str


class ResultWarning(Record):
    """Something that was repaired or left out. `detail` never quotes more than names."""

    code: str
    detail: str
    episode_id: str | None = None


class TokenUsage(Record):
    """Tokens of one call; the kinds do not overlap, so the sum counts nothing twice."""

    #: Input that was neither read from nor written to a cache.
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    #: All output, reasoning included.
    output: int = 0
    #: The part of `output` that was reasoning.
    reasoning: int = 0

    @property
    def total(self) -> int:
        """All tokens, each counted once."""
        return self.input + self.cached_input + self.cache_write + self.output

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )


class AttemptRecord(Record):
    """One call of one model for one job: the usage record, failed attempts included."""

    #: Names the call itself: two calls never share it, however often a job is delivered.
    id: str
    #: `hop.unit.try`: place in the fallback chain, part of the job, try of that part; all from 1. A call about several
    #: parts is a try of the first of them.
    attempt: str
    job_id: str
    account: str | None = None
    project: str
    provider: ReportedProvider
    connection: str
    role: Role
    model: str
    #: The model that the provider says it used; differs from `model` after a silent re-route.
    served_model: str | None = None
    credential_version: int | None = None
    #: `ok`, the reason of the failure, or `lost`: its worker died, and what it came to is not known.
    status: str
    #: What was done about it: `done`, `retry` (or another way of trying again), `split` (episodes that shared the
    #: prompt in vain are asked about one by one), `wait`, `fall_back` or `fail`.
    action: str
    #: Episodes that shared the prompt; absent when it was about one.
    packed: int | None = None
    #: Input tokens that prompts of their own would have taken, by estimate, for those of them that it yielded memories
    #: of, less those that it took: negative when it was in vain. Absent when it was about one.
    tokens_saved: int | None = None
    usage: TokenUsage = TokenUsage()
    #: USD as a decimal string; absent when the price is unknown.
    cost_usd: str | None = None
    #: The prices used, USD per million tokens, and where they come from; absent when unknown.
    price: dict[str, Any] | None = None
    #: Input tokens of the prompt as they were estimated before the call, and those of them that are the text of the
    #: episodes themselves; absent in older records.
    estimated_input: int | None = None
    estimated_text: int | None = None
    latency_ms: int
    #: From joining the lane of this connection to the delivery that made the call; absent in older records.
    queue_wait_ms: int | None = None
    request_id: str | None = None
    #: The cheaper tier at which the vendor served it; absent: the standard one.
    tier: ReportedTier | None = None
    labels: dict[str, str] = {}
    #: Of the job; absent in older records.
    priority: ReportedPriority | None = None
    started_at: AwareDatetime


class UsageTotals(Record):
    """Sums over all attempts of a job."""

    attempts: int = 0
    tokens: TokenUsage = TokenUsage()
    #: USD as a decimal string; absent when the price of any attempt that used tokens is unknown.
    cost_usd: str | None = None
    #: Input tokens that packing saved, by estimate: the sum over all attempts; absent when nothing was packed.
    tokens_saved: int | None = None


class Failure(Record):
    """Why a job, or one episode of it, failed."""

    code: ReportedCode
    #: What happened, to which project and connection, and what to do.
    message: str
    project: str | None = None
    provider: ReportedProvider | None = None
    connection: str | None = None
    model: str | None = None
    episode_id: str | None = None
    attempts: list[AttemptRecord] = []

    def as_error(self) -> ExtractionFailed:
        """The same as the exception that ends a task."""
        return ExtractionFailed(self.message, self.model_dump(mode="json", exclude_none=True))


class EpisodeResult(Record):
    """The memories of one episode. Empty lists are a good answer: not everything is worth remembering."""

    episode_id: str
    entities: list[Entity] = []
    facts: list[Fact] = []
    #: Set when this episode alone failed; its lists are then empty.
    failure: Failure | None = None


class Provenance(Record):
    """What produced the memories, so that a later backfill can select what to redo."""

    prompt_version: str
    schema_version: str
    provider: ReportedProvider
    connection: str
    role: Role
    model: str
    served_model: str | None = None


class JobStatus(StrEnum):
    """How a returned job ended. A job that failed raises `ExtractionFailed` instead."""

    SUCCEEDED = "succeeded"
    #: Some episodes failed; each of those carries its failure.
    PARTIAL = "partial"
    #: Another job holds the same idempotency key; `duplicate_of` is its id, where the result is.
    DUPLICATE = "duplicate"


class ExtractionResult(Record):
    """What a job returns."""

    version: Annotated[int, Field(ge=1)] = CONTRACT_VERSION
    job_id: str
    project: str
    status: JobStatus
    duplicate_of: str | None = None
    usage: UsageTotals = UsageTotals()
    episodes: list[EpisodeResult] = []
    warnings: list[ResultWarning] = []
    attempts: list[AttemptRecord] = []
    #: One entry per connection that contributed.
    provenance: list[Provenance] = []
