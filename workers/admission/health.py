"""What an answer tells admission: how the vendor metered it, and how the connection fares. One pure table."""

from dataclasses import dataclass, replace
from enum import StrEnum

from config.kinds import kind_of
from tasks.contract import ProviderKind, Tier, TokenUsage
from workers.admission.base import Health, Observation
from workers.engine.outcome import decide
from workers.providers.base import Fault, FaultKind, Reply


class Metered(StrEnum):
    """What a vendor took for a call that does not say what it used."""

    #: Neither a request nor tokens: the call never got there.
    NOTHING = "nothing"
    #: A request without tokens.
    REQUEST = "request"
    #: It may have taken all: the estimate stands.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a kind of fault says."""

    health: Health
    metered: Metered = Metered.REQUEST
    rate_limited: bool = False


TABLE: dict[FaultKind, Row] = {
    FaultKind.CONNECT: Row(health=Health.FAILING, metered=Metered.NOTHING),
    FaultKind.READ: Row(health=Health.FAILING, metered=Metered.UNKNOWN),
    FaultKind.TIMEOUT: Row(health=Health.FAILING, metered=Metered.UNKNOWN),
    FaultKind.UNAVAILABLE: Row(health=Health.FAILING),
    FaultKind.OVERLOADED: Row(health=Health.FAILING),
    # The limit's doing, not the connection's.
    FaultKind.RATE_LIMITED: Row(health=Health.NONE, rate_limited=True),
    # Of the cheap tier alone.
    FaultKind.TIER_UNAVAILABLE: Row(health=Health.NONE),
    FaultKind.QUOTA_EXHAUSTED: Row(health=Health.FATAL),
    # Whoever calls holds the connection back until there is another credential.
    FaultKind.CREDENTIAL_REJECTED: Row(health=Health.NONE),
    FaultKind.CREDENTIAL_EXPIRED: Row(health=Health.NONE),
    FaultKind.PERMISSION_DENIED: Row(health=Health.FATAL),
    FaultKind.MODEL_NOT_FOUND: Row(health=Health.FATAL),
    FaultKind.ENDPOINT_INVALID: Row(health=Health.FATAL, metered=Metered.NOTHING),
    # The episode's doing: the provider answered, and as it should.
    FaultKind.CONTEXT_TOO_LONG: Row(health=Health.OK),
    FaultKind.BAD_REQUEST: Row(health=Health.OK),
    FaultKind.REFUSED: Row(health=Health.OK),
    FaultKind.TRUNCATED: Row(health=Health.OK, metered=Metered.UNKNOWN),
    FaultKind.EMPTY: Row(health=Health.OK, metered=Metered.UNKNOWN),
    FaultKind.MALFORMED: Row(health=Health.OK, metered=Metered.UNKNOWN),
}

_ANSWERED = Row(health=Health.OK, metered=Metered.UNKNOWN)


def metered_input(provider: ProviderKind, usage: TokenUsage) -> int:
    """Input tokens that count for the vendor's limit."""
    fresh = usage.input + usage.cache_write
    return fresh if reads_cache_for_free(provider) else fresh + usage.cached_input


def reads_cache_for_free(provider: ProviderKind) -> bool:
    """Whether the vendor's limit leaves out what is read from the prompt cache."""
    return kind_of(provider).free_cache_reads


def sets_cap_aside(provider: ProviderKind) -> bool:
    """Whether a call takes its whole output cap from the vendor's limit while it is under way."""
    return kind_of(provider).sets_cap_aside


def observe(
    answer: Reply | Fault, *, provider: ProviderKind, cost: int | None, tier: Tier | None = None
) -> Observation:
    """What an answer tells admission.

    Args:
        answer: what came of the call.
        provider: whose it is; vendors meter differently.
        cost: pico-USD of the usage that the answer tells of; None where the price is not known.
        tier: the cheaper tier that was asked for. That it is slow says nothing of the connection.
    """
    fault = answer if isinstance(answer, Fault) else None
    row = TABLE[fault.kind] if fault else _ANSWERED
    if fault and fault.kind is FaultKind.TIMEOUT and tier is not None:
        row = replace(row, health=Health.NONE)
    told = answer.usage.total > 0
    unknown = not told and row.metered is Metered.UNKNOWN
    return Observation(
        usage=None if unknown else answer.usage,
        metered_input=None if unknown else metered_input(provider, answer.usage),
        counted=told or row.metered is not Metered.NOTHING,
        # Without usage there is nothing that a price could be of.
        cost=cost if told else None if unknown else 0,
        limits=answer.limits,
        rate_limited=row.rate_limited,
        retry_after=fault.retry_after if fault else None,
        health=row.health,
        code=decide(fault).code if fault and row.health in (Health.FAILING, Health.FATAL) else None,
    )
