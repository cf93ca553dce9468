"""The flex tier: how it is asked for, how answers say that they were served at it, and what says that there is none."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tasks.contract import ProviderKind, Tier, TokenUsage
from tests.google import TokenEndpoint, vertex_call
from tests.providers import answer, make_call
from tests.support import ManualClock
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.faults import RuledProvider
from workers.providers.google_tokens import GoogleTokens
from workers.providers.registry import build_providers, dialect_of
from workers.providers.tiers import without_room
from workers.providers.vertex import VertexProvider

_KEYS = json.dumps({"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/example"})
_TEXT = '{"facts":[]}'

#: Kind → a call of it, and where its request asks for the tier.
_CALLS: Mapping[ProviderKind, Mapping[str, Any]] = {
    ProviderKind.OPENAI: {"model": "gpt-6-luna"},
    ProviderKind.AZURE_OPENAI: {"model": "gpt-6-luna", "base_url": "https://acme.openai.azure.com/"},
    ProviderKind.GEMINI: {"model": "gemini-3.5-flash-lite"},
    ProviderKind.VERTEX: {"model": "gemini-3.5-flash-lite"},
    ProviderKind.BEDROCK: {"model": "global.anthropic.claude-haiku-5-5", "secret": _KEYS},
}
kinds = pytest.mark.parametrize("kind", _CALLS, ids=lambda kind: kind.value)


def call_of(kind: ProviderKind, tier: Tier | None = Tier.FLEX) -> Call:
    given: dict[str, Any] = {"provider": kind, "tier": tier, **_CALLS[kind]}
    return vertex_call(**given) if kind is ProviderKind.VERTEX else make_call(**given)


def seen_by_transport(answer: Reply | Fault, call: Call) -> Reply | Fault:
    return without_room(answer, call, shared=dialect_of(call.connection.provider).shares_capacity)


def provider_of(kind: ProviderKind) -> RuledProvider:
    clock = ManualClock()
    if kind is ProviderKind.VERTEX:
        return VertexProvider(clock=clock, tokens=GoogleTokens(fetch=TokenEndpoint(), clock=clock))
    return build_providers(clock=clock)[kind]


def asked(kind: ProviderKind, wire: WireRequest) -> object:
    """Where a request says at which tier it wants to be served."""
    body = json.loads(wire.content)
    match kind:
        case ProviderKind.GEMINI:
            return body["serviceTier"]
        case ProviderKind.VERTEX:
            return wire.headers.get("x-vertex-ai-llm-shared-request-type")
        case ProviderKind.BEDROCK:
            return body.get("serviceTier", {}).get("type")
    return body["service_tier"]


@kinds
async def test_the_tier_is_asked_for_where_the_vendor_reads_it(kind: ProviderKind) -> None:
    wire = await provider_of(kind).prepare(call_of(kind))
    assert isinstance(wire, WireRequest)
    assert asked(kind, wire) == "flex"


@kinds
async def test_without_a_tier_the_request_asks_for_the_standard_one_as_before(kind: ProviderKind) -> None:
    wire = await provider_of(kind).prepare(call_of(kind, tier=None))
    assert isinstance(wire, WireRequest)
    assert asked(kind, wire) in {"default", "standard", None}


async def test_flex_on_vertex_passes_by_throughput_that_the_customer_has_bought() -> None:
    wire = await provider_of(ProviderKind.VERTEX).prepare(call_of(ProviderKind.VERTEX))
    assert isinstance(wire, WireRequest)
    assert wire.headers["x-vertex-ai-llm-request-type"] == "shared"


def response(kind: ProviderKind, said: str | None) -> WireResponse:
    """A good answer that says at which tier it was served."""
    if kind in {ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI}:
        body: dict[str, Any] = {
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": _TEXT}]}],
            "usage": {"input_tokens": 10, "output_tokens": 2},
        }
        return answer(body | ({"service_tier": said} if said else {}))
    if kind is ProviderKind.BEDROCK:
        body = {
            "output": {"message": {"content": [{"toolUse": {"input": {"facts": []}}}]}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 10, "outputTokens": 2},
        }
        return answer(body | ({"serviceTier": {"type": said}} if said else {}))
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 2}
    vertex = kind is ProviderKind.VERTEX
    headers: dict[str, Any] = {"x_gemini_service_tier": said} if said and not vertex else {}
    return answer(
        {
            "candidates": [{"content": {"parts": [{"text": _TEXT}]}, "finishReason": "STOP"}],
            "usageMetadata": usage | ({"trafficType": said} if said and vertex else {}),
        },
        **headers,
    )


_SERVED = {ProviderKind.VERTEX: ("ON_DEMAND_FLEX", "ON_DEMAND"), ProviderKind.GEMINI: ("flex", "standard")}


@kinds
def test_what_the_vendor_says_of_the_tier_is_what_is_billed(kind: ProviderKind) -> None:
    flex, standard = _SERVED.get(kind, ("flex", "default"))
    call = call_of(kind)

    served = [provider_of(kind).read(call, response(kind, said)) for said in (flex, standard, None)]

    assert [type(one) for one in served] == [Reply, Reply, Reply]
    # Where nothing is said, it is taken to be served as it was asked.
    assert [one.tier for one in served] == [Tier.FLEX, None, Tier.FLEX]


@kinds
def test_a_call_at_the_standard_tier_is_billed_at_it(kind: ProviderKind) -> None:
    assert provider_of(kind).read(call_of(kind, tier=None), response(kind, None)).tier is None


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        (ProviderKind.OPENAI, 429, {"error": {"code": "resource_unavailable", "message": "busy"}}),
        (ProviderKind.OPENAI, 400, {"error": {"code": "invalid_value", "param": "service_tier", "message": "no flex"}}),
        (ProviderKind.AZURE_OPENAI, 429, {"error": {"code": "resource_unavailable", "message": "busy"}}),
        (ProviderKind.GEMINI, 503, {"error": {"status": "UNAVAILABLE", "message": "overloaded"}}),
        (ProviderKind.VERTEX, 429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "Resource exhausted."}}),
        (ProviderKind.BEDROCK, 400, {"__type": "ValidationException", "message": "service tier not supported"}),
    ],
)
def test_no_room_at_the_tier_is_told_from_trouble_of_the_connection(
    kind: ProviderKind, status: int, body: Mapping[str, Any]
) -> None:
    found: dict[Tier | None, FaultKind] = {}
    for tier in (Tier.FLEX, None):
        call = call_of(kind, tier=tier)
        fault = seen_by_transport(provider_of(kind).read(call, answer(body, status=status)), call)
        assert isinstance(fault, Fault)
        found[tier] = fault.kind

    assert found[Tier.FLEX] is FaultKind.TIER_UNAVAILABLE
    assert found[None] is not FaultKind.TIER_UNAVAILABLE


@pytest.mark.parametrize(
    "kind", sorted(set(FaultKind) - {FaultKind.OVERLOADED, FaultKind.BAD_REQUEST, FaultKind.RATE_LIMITED})
)
def test_other_faults_are_what_they_are_at_any_tier(kind: FaultKind) -> None:
    fault = Fault(kind=kind, message="m")
    assert seen_by_transport(fault, call_of(ProviderKind.OPENAI)) is fault


def test_a_rate_limit_that_names_a_wait_or_is_the_accounts_own_is_waited_for() -> None:
    limited = Fault(kind=FaultKind.RATE_LIMITED, message="m")
    named = Fault(kind=FaultKind.RATE_LIMITED, message="m", retry_after=4)

    assert seen_by_transport(limited, call_of(ProviderKind.OPENAI)) is limited
    assert seen_by_transport(named, call_of(ProviderKind.VERTEX)) is named
    assert seen_by_transport(limited, call_of(ProviderKind.VERTEX)).tier is None


def test_a_reply_passes() -> None:
    reply = Reply(text="{}", usage=TokenUsage(input=1))
    assert seen_by_transport(reply, call_of(ProviderKind.OPENAI)) is reply
