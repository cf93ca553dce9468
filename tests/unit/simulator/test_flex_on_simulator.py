"""The flex tier of each vendor that has one, against the simulator, over the transport of a worker."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import ProviderKind, Tier
from tests.providers import CANARY, make_call
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Simulator
from workers.embedded.simulator.wire.aws_signature import simulated_credential
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.providers.base import Call, Fault, FaultKind, Reply
from workers.providers.registry import build_providers
from workers.providers.transport import Transport, build_transport

EMAIL = "extractor@simulated-project.iam.gserviceaccount.com"

#: Kind → mount, what its calls look like, and how the vendor says that there is no room.
KINDS: Mapping[ProviderKind, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    ProviderKind.OPENAI: ("openai", {"model": "gpt-6-luna"}, {"status": 429, "code": "resource_unavailable"}),
    ProviderKind.AZURE_OPENAI: ("azure", {"model": "gpt-6-luna"}, {"status": 429, "code": "resource_unavailable"}),
    ProviderKind.GEMINI: ("gemini", {"model": "gemini-3.5-flash-lite"}, {"status": 503}),
    ProviderKind.VERTEX: (
        "vertex",
        {"model": "gemini-3.5-flash-lite", "secret": simulated_key_file(EMAIL)},
        {"status": 429},
    ),
    ProviderKind.BEDROCK: (
        "bedrock",
        {"model": "global.anthropic.claude-haiku-5-5", "secret": simulated_credential("AKIASIMULATEDFLEX")},
        {"status": 503},
    ),
}
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    accounts = tuple(Account(key=SecretStr(key)) for key in (CANARY, EMAIL, "AKIASIMULATEDFLEX"))
    async with Simulator(Options(accounts=accounts, permissive=False, latency=Latency.fixed(0))) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings(connect_timeout=2))
    yield transport
    await transport.aclose()


async def send(simulator: Simulator, transport: Transport, kind: ProviderKind, tier: Tier | None) -> Reply | Fault:
    mount, given, _ = KINDS[kind]
    call: Call = make_call(provider=kind, base_url=simulator.base_urls[mount], tier=tier, **given)
    providers = build_providers(fetch=transport.fetch, token_url=simulator.base_urls["google_oauth"])
    return (await transport.send(providers[kind], call, timeout=5)).answer


@kinds
async def test_a_call_at_the_tier_is_served_and_booked_at_it(
    simulator: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    tiers = (Tier.FLEX, None)

    answers = [await send(simulator, transport, kind, tier) for tier in tiers]

    assert [type(answer) for answer in answers] == [Reply, Reply]
    assert [answer.tier for answer in answers] == [Tier.FLEX, None]
    assert [entry.tier for entry in simulator.books().entries if entry.served] == ["flex", None]
    assert {total.tier: total.served for total in simulator.books().totals if total.served} == {"flex": 1, None: 1}


@kinds
async def test_no_room_at_the_tier_leaves_the_standard_one_as_it_is(
    simulator: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, tier="flex", **KINDS[kind][2]))

    refused = await send(simulator, transport, kind, Tier.FLEX)
    served = await send(simulator, transport, kind, None)

    assert isinstance(refused, Fault)
    assert refused.kind is FaultKind.TIER_UNAVAILABLE
    assert isinstance(served, Reply)
