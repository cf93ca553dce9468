"""The values that pass between wire modules and the simulator's core; the same for all vendors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer. The kinds do not overlap, so the sum counts nothing twice."""

    #: Input that was neither read from nor written to the prompt cache.
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    #: All output, reasoning included.
    output: int = 0
    #: The part of `output` that was reasoning.
    reasoning: int = 0

    @property
    def prompt(self) -> int:
        """All input, however it was priced."""
        return self.input + self.cached_input + self.cache_write

    @property
    def total(self) -> int:
        """All tokens, each counted once."""
        return self.prompt + self.output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlan:
    """Which parts of a prompt the vendor would cache, and on what terms."""

    after_system: bool = False
    after_user: bool = False
    #: Smallest prefix that is cached, in tokens.
    minimum: int = 1024
    #: Whether writes are counted (and priced) apart from other input.
    counts_writes: bool = False
    #: Seconds that an unused prefix is kept.
    ttl: float = 1_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one request asks of the model."""

    model: str
    system: str
    user: str
    #: JSON Schema that the answer must satisfy; absent for plain text.
    schema: Mapping[str, Any] | None = None
    schema_tokens: int = 0
    #: Name of the tool that the model is forced to call with an object of this schema.
    tool: str | None = None
    #: Absent means the model's own maximum.
    max_output_tokens: int | None = None
    #: Tokens that the model spends on reasoning before it answers.
    reasoning_tokens: int = 0
    #: Input tokens that fit; absent means unlimited.
    context: int | None = None
    cache: CachePlan = CachePlan()
    #: The cheaper tier that it asks for: `flex` or `batch`; absent means the standard one.
    tier: str | None = None
    #: Whether the vendor would keep the answer.
    stored: bool = False
    #: Attribution tags found on the wire.
    tags: Mapping[str, str] = field(default_factory=dict)
    #: Request parameters that this vendor repeats in its response.
    echo: Mapping[str, Any] = field(default_factory=dict)


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says."""

    #: The text, or the reason of a refusal.
    text: str
    usage: Usage
    finish: Finish = Finish.STOP


class Reason(StrEnum):
    """Why a request gets no answer, in terms that every wire module can render."""

    MISSING_KEY = "missing_key"
    WRONG_KEY = "wrong_key"
    EXPIRED_KEY = "expired_key"
    #: The key is good, but may not do this.
    FORBIDDEN = "forbidden"
    MODEL_NOT_FOUND = "model_not_found"
    PATH_NOT_FOUND = "path_not_found"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    RATE_LIMITED = "rate_limited"
    #: One request asks for more than a whole bucket holds.
    TOO_LARGE = "too_large"
    QUOTA_EXHAUSTED = "quota_exhausted"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"


class Metered(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHit:
    """The limit that a request ran into."""

    metered: Metered
    limit: int
    used: int
    requested: int


class Rejection(Exception):
    """The request gets an error instead of an answer; the wire module renders it as its vendor does."""

    def __init__(
        self,
        reason: Reason,
        message: str = "",
        *,
        model: str | None = None,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        hit: LimitHit | None = None,
    ) -> None:
        super().__init__(message or reason.value)
        self.reason = reason
        #: The vendor's words; empty leaves them to the wire module.
        self.message = message
        self.model = model
        self.param = param
        #: Replaces the vendor's usual code.
        self.code = code
        #: Replaces the vendor's usual status.
        self.status = status
        self.retry_after = retry_after
        self.hit = hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One HTTP request. Never printed: headers hold the key."""

    method: str
    path: str
    #: The path as it came over the wire, still encoded: signatures are made over it.
    raw_path: str = ""
    #: What the route's pattern captured, such as the model.
    params: Mapping[str, str] = field(default_factory=dict)
    #: Still encoded, without the question mark. It may hold a key.
    query: str = field(repr=False, default="")
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the core knows about an answer that the wire module has to mention."""

    request_id: str
    #: Unix time.
    created: float
