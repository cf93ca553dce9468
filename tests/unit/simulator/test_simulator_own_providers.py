"""Our providers against the simulator: requests pass, usage agrees with the books, faults are told apart."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from config.settings import Settings
from tasks.contract import ProviderKind, TokenUsage
from tests.providers import make_call
from workers.embedded.simulator import FaultRule, Injection, Latency, Options, Reason, Simulator
from workers.providers.base import Call, Fault, FaultKind, Reply
from workers.providers.registry import build_providers
from workers.providers.transport import Transport, build_transport

VENDORS = {ProviderKind.OPENAI: "openai", ProviderKind.OPENAI_COMPATIBLE: "compatible"}
PROVIDERS = build_providers()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(Options(latency=Latency.fixed(0))) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings(connect_timeout=2, allow_private_endpoints=True))
    yield transport
    await transport.aclose()


def call_of(simulator: Simulator, kind: ProviderKind, **more: Any) -> Call:
    more.setdefault("tags", {"project": "acme", "job": "j-1"})
    return make_call(provider=kind, base_url=simulator.base_urls[VENDORS[kind]], **more)


@pytest.mark.parametrize("kind", VENDORS)
async def test_a_call_succeeds_and_its_usage_is_the_books(
    simulator: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    call = call_of(simulator, kind, system="Extract the facts. " * 400)
    answers = [(await transport.send(PROVIDERS[kind], call, timeout=5)).answer for _ in range(2)]

    replies = [answer for answer in answers if isinstance(answer, Reply)]
    assert len(replies) == 2
    assert json.loads(replies[0].text) == {"facts": ["Ada lives in Paris."]}
    billed = simulator.books().billed
    assert sum((reply.usage for reply in replies), TokenUsage()) == TokenUsage(
        input=billed.input,
        cached_input=billed.cached_input,
        cache_write=billed.cache_write,
        output=billed.output,
        reasoning=billed.reasoning,
    )
    assert billed.cached_input > 0 == billed.reasoning
    assert [entry.request_id for entry in simulator.books().entries] == [reply.request_id for reply in replies]


async def test_what_the_catalogue_promises_is_what_the_vendor_sees(simulator: Simulator, transport: Transport) -> None:
    call = call_of(simulator, ProviderKind.OPENAI)
    await transport.send(PROVIDERS[ProviderKind.OPENAI], call, timeout=5)

    (entry,) = simulator.books().entries
    assert entry.stored is False
    assert entry.usage.reasoning == 0
    assert entry.tags == {"project": "acme", "job": "j-1"}


BOTH = tuple(VENDORS)
FAULTS: list[tuple[dict[str, Any], Sequence[ProviderKind], FaultKind]] = [
    ({"kind": Injection.STATUS, "status": 500}, BOTH, FaultKind.UNAVAILABLE),
    ({"kind": Injection.STATUS, "status": 503}, BOTH, FaultKind.OVERLOADED),
    ({"kind": Injection.STATUS, "status": 429, "retry_after": 7}, BOTH, FaultKind.RATE_LIMITED),
    ({"kind": Injection.STATUS, "reason": Reason.QUOTA_EXHAUSTED}, BOTH, FaultKind.QUOTA_EXHAUSTED),
    ({"kind": Injection.STATUS, "reason": Reason.WRONG_KEY}, BOTH, FaultKind.CREDENTIAL_REJECTED),
    ({"kind": Injection.STATUS, "reason": Reason.EXPIRED_KEY}, (ProviderKind.OPENAI,), FaultKind.CREDENTIAL_REJECTED),
    ({"kind": Injection.STATUS, "status": 403}, BOTH, FaultKind.PERMISSION_DENIED),
    ({"kind": Injection.STATUS, "status": 404}, BOTH, FaultKind.MODEL_NOT_FOUND),
    ({"kind": Injection.STATUS, "reason": Reason.CONTEXT_TOO_LONG}, BOTH, FaultKind.CONTEXT_TOO_LONG),
    ({"kind": Injection.STATUS, "status": 400}, BOTH, FaultKind.BAD_REQUEST),
    ({"kind": Injection.RESET}, BOTH, FaultKind.READ),
    ({"kind": Injection.TRUNCATED}, BOTH, FaultKind.TRUNCATED),
    ({"kind": Injection.REFUSAL}, BOTH, FaultKind.REFUSED),
    ({"kind": Injection.EMPTY}, BOTH, FaultKind.EMPTY),
    ({"kind": Injection.HTML}, BOTH, FaultKind.MALFORMED),
]


@pytest.mark.parametrize(
    ("rule", "kind", "expected"),
    [(rule, kind, expected) for rule, kinds, expected in FAULTS for kind in kinds],
    ids=lambda value: str(value)[:60],
)
async def test_injected_faults_are_told_apart(
    simulator: Simulator, transport: Transport, rule: dict[str, Any], kind: ProviderKind, expected: FaultKind
) -> None:
    simulator.add_fault(FaultRule(**rule))

    answer = (await transport.send(PROVIDERS[kind], call_of(simulator, kind), timeout=5)).answer

    assert isinstance(answer, Fault)
    assert answer.kind is expected
    assert answer.retry_after == rule.get("retry_after")
    billed = simulator.books().billed
    assert answer.usage.total == billed.total


async def test_the_meters_refusal_carries_the_wait(simulator: Simulator, transport: Transport) -> None:
    template = next(iter(simulator.core.accounts), None)
    assert template is None
    call = call_of(simulator, ProviderKind.OPENAI)
    await transport.send(PROVIDERS[ProviderKind.OPENAI], call, timeout=5)
    (account,) = simulator.core.accounts
    simulator.put_account(account.model_copy(update={"rpm": 1}))
    await transport.send(PROVIDERS[ProviderKind.OPENAI], call, timeout=5)

    answer = (await transport.send(PROVIDERS[ProviderKind.OPENAI], call, timeout=5)).answer

    assert isinstance(answer, Fault)
    assert answer.kind is FaultKind.RATE_LIMITED
    assert answer.retry_after == pytest.approx(60, abs=5)
