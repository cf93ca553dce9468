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
    #: As memories should call it.
    name: str
    #: One of the entity types of the job, or else of the default ones.
    type: str
    #: What the episode says of it, in short.
    summary: str = ""
    #: The episodes that name it.
    episode_ids: list[str]


class Fact(Record):
    """A statement that the episode makes; subject and object are names of entities of the same result."""

    #: Stable within a project: a hash of project, subject, predicate and object.
    id: str
    #: Name of the entity that it speaks of.
    subject: str
    #: What it says of it, in capitals, such as `LIVES_IN`.
    predicate: str
    #: An entity's name, or a literal when `object_is_literal`.
    object: str
    #: Whether the object is a literal, such as a number or a date, and no entity.
    object_is_literal: bool = False
    #: One self-contained sentence.
    fact: str
    #: Since when it holds, where the episode says so.
    valid_at: AwareDatetime | None = None
    #: Since when it does not hold any more, where the episode says so.
    invalid_at: AwareDatetime | None = None
    #: Quoted from the episode.
    evidence: str
    #: The episode that says it.
    episode_id: str


class ResultWarning(Record):
    """Something that was repaired or left out. `detail` never quotes more than names."""

    #: What kind of thing it was, for programs.
    code: str
    #: The same for people.
    detail: str
    #: The episode that it was in.
    episode_id: str | None = None


class TokenUsage(Record):
    """Tokens of one call; the kinds do not overlap, so the sum counts nothing twice."""

    #: Input that was neither read from nor written to a cache.
    input: int = 0
    #: Input that was read from the vendor's cache.
    cached_input: int = 0
    #: Input that was written to the vendor's cache.
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
    #: The job that it was for.
    job_id: str
    #: The account of the project, where it has one.
    account: str | None = None
    #: Whose call it was.
    project: str
    #: The kind of API that was called.
    provider: ReportedProvider
    #: Name of the connection that was called.
    connection: str
    #: Its place in the chain.
    role: Role
    #: The model that was asked for.
    model: str
    #: The model that the provider says it used; differs from `model` after a silent re-route.
    served_model: str | None = None
    #: Which version of the connection's credential was used.
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
    #: Tokens by kind, as the vendor counted them.
    usage: TokenUsage = TokenUsage()
    #: USD as a decimal string; absent when the price is unknown: unknown is not zero.
    cost_usd: str | None = None
    #: The prices used, USD per million tokens, and where they come from; absent when unknown.
    price: dict[str, Any] | None = None
    #: Input tokens of the prompt as they were estimated before the call; absent in older records.
    estimated_input: int | None = None
    #: Those of them that are the text of the episodes themselves: what plans of backfills learn from.
    estimated_text: int | None = None
    #: Length of the call; 0 in a batch, which nobody waits for.
    latency_ms: int
    #: From joining the lane of this connection to the delivery that made the call, which attempts of one delivery
    #: share; in a batch until its results were there; absent in older records.
    queue_wait_ms: int | None = None
    #: The vendor's name of the call.
    request_id: str | None = None
    #: The cheaper tier at which the vendor served it; absent: the standard one.
    tier: ReportedTier | None = None
    #: Of the connection and of the job.
    labels: dict[str, str] = {}
    #: Of the job; absent in older records.
    priority: ReportedPriority | None = None
    #: When the call began.
    started_at: AwareDatetime


class UsageTotals(Record):
    """Sums over all attempts of a job."""

    #: How many calls were made, failed ones included.
    attempts: int = 0
    #: Their tokens by kind.
    tokens: TokenUsage = TokenUsage()
    #: USD as a decimal string; absent when the price of any attempt that used tokens is unknown.
    cost_usd: str | None = None
    #: Input tokens that packing saved, by estimate: the sum over all attempts; absent when nothing was packed.
    tokens_saved: int | None = None


class Failure(Record):
    """Why a job, or one episode of it, failed."""

    #: Why, for programs; treat one that you do not know like `internal`.
    code: ReportedCode
    #: What happened, to which project and connection, and what to do.
    message: str
    #: Whose job it was.
    project: str | None = None
    #: The kind of API that was called last.
    provider: ReportedProvider | None = None
    #: The connection that was tried last.
    connection: str | None = None
    #: The model that was asked for last.
    model: str | None = None
    #: The episode, where one alone failed.
    episode_id: str | None = None
    #: Every call that was made, in the failure of a job.
    attempts: list[AttemptRecord] = []

    def as_error(self) -> ExtractionFailed:
        """The same as the exception that ends a task."""
        return ExtractionFailed(self.message, self.model_dump(mode="json", exclude_none=True))


class EpisodeResult(Record):
    """The memories of one episode. Empty lists are a good answer: not everything is worth remembering."""

    #: As the job has it.
    episode_id: str
    #: Who and what it names.
    entities: list[Entity] = []
    #: What it says.
    facts: list[Fact] = []
    #: Set when this episode alone failed; its lists are then empty.
    failure: Failure | None = None


class Provenance(Record):
    """What produced the memories, so that a later backfill can select what to redo."""

    #: Which prompt was used; with `-packed` one that several episodes shared.
    prompt_version: str
    #: Which schema the answer had to fit, likewise.
    schema_version: str
    #: The kind of API that was called.
    provider: ReportedProvider
    #: Name of the connection that was called.
    connection: str
    #: Its place in the chain.
    role: Role
    #: The model that was asked for.
    model: str
    #: The model that the provider says it used.
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

    #: Of this shape.
    version: Annotated[int, Field(ge=1)] = CONTRACT_VERSION
    #: The id of the job that did the work; another one's if this job was a duplicate.
    job_id: str
    #: As sent.
    project: str
    #: How it ended: `partial` if some episodes carry a failure, `duplicate` if another job holds the idempotency key.
    status: JobStatus
    #: The id of the job that holds the idempotency key.
    duplicate_of: str | None = None
    #: Sums over all attempts, failed ones included.
    usage: UsageTotals = UsageTotals()
    #: One entry per episode of the job, in its order: entities and facts, or its failure.
    episodes: list[EpisodeResult] = []
    #: What was repaired or left out.
    warnings: list[ResultWarning] = []
    #: One usage record per call of a model.
    attempts: list[AttemptRecord] = []
    #: Which prompt, schema and model the memories come from, for later backfills: one entry per connection that
    #: contributed, and one of its own for shared prompts.
    provenance: list[Provenance] = []
