"""What answers tell admission: one row per kind of fault."""

import pytest

from tasks.contract import FailureCode, ProviderKind, TokenUsage
from workers.admission import Health, Observation, observe
from workers.admission.health import TABLE
from workers.engine.outcome import decide
from workers.providers.base import Fault, FaultKind, Reply
from workers.providers.rate_limits import Allowance, RateLimits

ALL = "all"
NOTHING, REQUEST, ESTIMATE = "nothing", "request", "estimate"

#: Kind → health, what is taken where the answer tells no usage.
ROWS = {
    FaultKind.CONNECT: (Health.FAILING, NOTHING),
    FaultKind.READ: (Health.FAILING, ESTIMATE),
    FaultKind.TIMEOUT: (Health.FAILING, ESTIMATE),
    FaultKind.UNAVAILABLE: (Health.FAILING, REQUEST),
    FaultKind.OVERLOADED: (Health.FAILING, REQUEST),
    FaultKind.RATE_LIMITED: (Health.NONE, REQUEST),
    FaultKind.TIER_UNAVAILABLE: (Health.NONE, REQUEST),
    FaultKind.QUOTA_EXHAUSTED: (Health.FATAL, REQUEST),
    FaultKind.CREDENTIAL_REJECTED: (Health.NONE, REQUEST),
    FaultKind.CREDENTIAL_EXPIRED: (Health.NONE, REQUEST),
    FaultKind.PERMISSION_DENIED: (Health.FATAL, REQUEST),
    FaultKind.MODEL_NOT_FOUND: (Health.FATAL, REQUEST),
    FaultKind.ENDPOINT_INVALID: (Health.FATAL, NOTHING),
    FaultKind.CONTEXT_TOO_LONG: (Health.OK, REQUEST),
    FaultKind.BAD_REQUEST: (Health.OK, REQUEST),
    FaultKind.REFUSED: (Health.OK, REQUEST),
    FaultKind.TRUNCATED: (Health.OK, ESTIMATE),
    FaultKind.EMPTY: (Health.OK, ESTIMATE),
    FaultKind.MALFORMED: (Health.OK, ESTIMATE),
}


def seen(kind: FaultKind, *, usage: TokenUsage | None = None, cost: int | None = None) -> Observation:
    fault = Fault(kind=kind, message="m", usage=usage or TokenUsage(), retry_after=3)
    return observe(fault, provider=ProviderKind.OPENAI, cost=cost)


def taken(observation: Observation) -> str:
    if not observation.counted:
        return NOTHING
    return ESTIMATE if observation.usage is None else REQUEST if observation.usage.total == 0 else ALL


def test_every_kind_of_fault_has_a_row() -> None:
    assert set(TABLE) == set(ROWS) == set(FaultKind)


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_says_how_the_connection_fares_and_what_it_took(kind: FaultKind) -> None:
    health, amount = ROWS[kind]
    observation = seen(kind)

    assert (observation.health, taken(observation)) == (health, amount)
    assert observation.rate_limited is (kind is FaultKind.RATE_LIMITED)
    assert observation.retry_after == 3
    assert observation.cost == (None if amount == ESTIMATE else 0)


@pytest.mark.parametrize("kind", FaultKind)
def test_usage_that_is_told_counts_whatever_went_wrong(kind: FaultKind) -> None:
    observation = seen(kind, usage=TokenUsage(input=10, output=5), cost=77)

    assert (taken(observation), observation.cost) == (ALL, 77)


@pytest.mark.parametrize("kind", FaultKind)
def test_bad_health_says_why(kind: FaultKind) -> None:
    bad = ROWS[kind][0] in (Health.FAILING, Health.FATAL)

    assert seen(kind).code == (decide(Fault(kind=kind, message="m")).code if bad else None)


def test_a_reply_is_a_sign_of_health_and_carries_what_the_vendor_said_of_its_limits() -> None:
    limits = RateLimits(tokens=Allowance(limit=5, remaining=1))
    reply = Reply(text="{}", usage=TokenUsage(input=10, output=5), limits=limits)

    assert observe(reply, provider=ProviderKind.GEMINI, cost=9) == Observation(
        usage=TokenUsage(input=10, output=5), metered_input=10, cost=9, limits=limits, health=Health.OK
    )


def test_a_reply_that_tells_no_usage_leaves_the_estimate() -> None:
    observation = observe(Reply(text="{}", usage=TokenUsage()), provider=ProviderKind.OPENAI_COMPATIBLE, cost=0)

    assert (observation.usage, observation.cost, observation.counted) == (None, None, True)


@pytest.mark.parametrize("provider", ProviderKind)
def test_vendors_differ_in_whether_they_count_what_is_read_from_a_cache(provider: ProviderKind) -> None:
    reply = Reply(text="{}", usage=TokenUsage(input=100, cached_input=1_000, cache_write=40, output=5))

    counted = 140 if provider is ProviderKind.ANTHROPIC else 1_140
    assert observe(reply, provider=provider, cost=None).metered_input == counted


def test_what_follows_from_a_fault_names_the_same_code() -> None:
    assert seen(FaultKind.QUOTA_EXHAUSTED).code is FailureCode.QUOTA_EXHAUSTED
