"""What every provider must be able to do, and the values that pass between it and the engine.

A provider is a translator without state of its own and without I/O of its own: `prepare` turns a `Call` into one
HTTP request, `read` turns the HTTP response into a `Reply` or a `Fault`. Sending is `workers.providers.transport`.
Deciding what a fault means is `workers.engine.outcome`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from config.catalogue import ModelFacts
from config.connections import Connection
from config.credentials import Credential
from tasks.contract import ProviderKind, Tier, TokenUsage
from workers.providers.rate_limits import RateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What extraction asks of a model; the same for all providers."""

    #: Static and byte-stable, so that vendors can cache it.
    system: str
    #: What differs from call to call: the job's wishes, context and episode.
    user: str
    #: `[A-Za-z0-9_-]{1,64}`.
    schema_name: str
    #: In the portable subset that all seven kinds accept.
    schema: Mapping[str, Any]
    #: Names the static part, for vendors that route by prompt version.
    version: str
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one model."""

    prompt: Prompt
    connection: Connection
    #: None for servers without keys.
    credential: Credential | None
    model: ModelFacts
    #: For attribution: project, provider, job, attempt and the labels. Already within the provider's limits or
    #: trimmed to them by the provider.
    tags: Mapping[str, str] = field(default_factory=dict)
    #: The cheaper tier that is asked for; None stands for the standard one. Only providers of models that the catalogue
    #: lists with a tier need know it.
    tier: Tier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """One HTTP request, complete with authentication. Never logged: headers hold the secret."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireResponse:
    """One HTTP response, read to its end."""

    status: int
    #: Lower-case names.
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The model answered to the end. Whether the answer is usable is for extraction to say."""

    #: The answer as JSON text, still unchecked.
    text: str
    usage: TokenUsage
    served_model: str | None = None
    request_id: str | None = None
    #: What the vendor's headers said of its rate limits; filled by the transport, for all providers.
    limits: RateLimits | None = None
    #: The cheaper tier that the vendor served it at, and bills; None stands for the standard one.
    tier: Tier | None = None


class FaultKind(StrEnum):
    """What went wrong, in terms that all providers share."""

    #: Nothing was sent: DNS, refused, TLS, connect timeout.
    CONNECT = "connect"
    #: The connection broke or timed out after the request was sent; the vendor may have billed it.
    READ = "read"
    TIMEOUT = "timeout"
    #: An HTTP status that says no, classified by the provider as far as its body tells.
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    #: The cheaper tier that was asked for is not served now, or not for this model.
    TIER_UNAVAILABLE = "tier_unavailable"
    QUOTA_EXHAUSTED = "quota_exhausted"
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_EXPIRED = "credential_expired"
    PERMISSION_DENIED = "permission_denied"
    MODEL_NOT_FOUND = "model_not_found"
    #: The address may not be called, or what answers there is not the provider's API.
    ENDPOINT_INVALID = "endpoint_invalid"
    CONTEXT_TOO_LONG = "context_too_long"
    BAD_REQUEST = "bad_request"
    REFUSED = "refused"
    #: An answer came, but it is not usable.
    TRUNCATED = "truncated"
    EMPTY = "empty"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The call did not yield an answer. A value, not an exception: `workers.engine.outcome` decides what follows."""

    kind: FaultKind
    #: What happened, for people; built by us from the parts below, never the vendor's text about the input.
    message: str
    status: int | None = None
    #: The vendor's own code, such as `insufficient_quota`; at most 64 safe characters. In parentheses: one of ours.
    code: str | None = None
    #: Seconds that the vendor asks to wait.
    retry_after: float | None = None
    request_id: str | None = None
    served_model: str | None = None
    #: Refused, truncated and malformed answers are billed.
    usage: TokenUsage = field(default_factory=TokenUsage)
    #: As in `Reply`.
    limits: RateLimits | None = None
    tier: Tier | None = None
    #: What the model had written of a truncated answer; never logged.
    text: str = field(default="", repr=False)


class Provider(Protocol):
    """One kind of API."""

    kind: ProviderKind

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The HTTP request for a call, or why there is none; async because some kinds must fetch a token first."""

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says, usage normalised and errors told apart."""


@runtime_checkable
class HoldsTokens(Protocol):
    """A provider that makes short-lived keys or tokens from the credential, and keeps them."""

    def forget(self, call: Call) -> bool:
        """Drop what was kept for a call that was refused; True when another try would be made with something new."""
