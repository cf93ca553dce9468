"""Our providers for Gemini, Vertex and Azure against the simulator, over the transport of a worker."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import ProviderKind, TokenUsage
from tests.providers import CANARY, make_call
from tests.support import ManualClock
from workers.clock import SystemClock
from workers.embedded.simulator import Account, FaultRule, Injection, KeyState, Latency, Options, Reason, Simulator
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.engine.outcome import Action, decide
from workers.providers.base import Call, Fault, FaultKind, HoldsTokens, Reply
from workers.providers.faults import RuledProvider
from workers.providers.google_account import TOKEN_URL
from workers.providers.registry import build_providers, unconnected
from workers.providers.transport import Transport, build_transport

EMAIL = "extractor@simulated-project.iam.gserviceaccount.com"
TAGS = {"project": "acme", "attempt": "1.0.1"}

#: Kind → mount, and what its calls look like.
KINDS: Mapping[ProviderKind, tuple[str, Mapping[str, Any]]] = {
    ProviderKind.AZURE_OPENAI: ("azure", {"model": "gpt-6-luna", "tags": TAGS}),
    ProviderKind.GEMINI: ("gemini", {"model": "gemini-3.5-flash-lite", "tags": TAGS}),
    ProviderKind.VERTEX: (
        "vertex",
        {"model": "gemini-3.5-flash-lite", "tags": TAGS, "secret": simulated_key_file(EMAIL)},
    ),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    accounts = tuple(Account(key=SecretStr(key)) for key in (CANARY, EMAIL))
    async with Simulator(Options(accounts=accounts, permissive=False, latency=Latency.fixed(0))) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings(connect_timeout=2))
    yield transport
    await transport.aclose()


@pytest.fixture
def providers(simulator: Simulator, transport: Transport) -> Mapping[ProviderKind, RuledProvider]:
    return build_providers(fetch=transport.fetch, token_url=simulator.base_urls["google_oauth"])


def call_of(simulator: Simulator, kind: ProviderKind, **changes: Any) -> Call:
    mount, given = KINDS[kind]
    return make_call(**{"provider": kind, "base_url": simulator.base_urls[mount], **given, **changes})


def served(simulator: Simulator) -> list[Any]:
    return [entry for entry in simulator.books().entries if entry.served]


@kinds
async def test_a_call_succeeds_and_its_usage_is_the_books(
    simulator: Simulator, transport: Transport, providers: Mapping[ProviderKind, RuledProvider], kind: ProviderKind
) -> None:
    call = call_of(simulator, kind, system="Extract the facts. " * 400)
    answers = [(await transport.send(providers[kind], call, timeout=5)).answer for _ in range(2)]

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
    assert [entry.request_id for entry in served(simulator)] == [reply.request_id for reply in replies]


@kinds
async def test_what_the_catalogue_promises_is_what_the_vendor_sees(
    simulator: Simulator, transport: Transport, providers: Mapping[ProviderKind, RuledProvider], kind: ProviderKind
) -> None:
    await transport.send(providers[kind], call_of(simulator, kind), timeout=5)

    (entry,) = served(simulator)
    assert entry.stored is False
    assert entry.usage.reasoning == 0
    attempt = "1.0.1" if kind is ProviderKind.AZURE_OPENAI else "1_0_1"
    assert entry.tags == {"project": "acme", "attempt": attempt}


_AZURE, _GEMINI, _VERTEX = KINDS
_ALL = tuple(KINDS)
_FAULTS: list[tuple[dict[str, Any], tuple[ProviderKind, ...], FaultKind]] = [
    ({"kind": Injection.STATUS, "status": 500}, _ALL, FaultKind.UNAVAILABLE),
    ({"kind": Injection.STATUS, "status": 504}, _ALL, FaultKind.UNAVAILABLE),
    ({"kind": Injection.STATUS, "status": 503}, (_GEMINI, _VERTEX), FaultKind.OVERLOADED),
    ({"kind": Injection.STATUS, "status": 503}, (_AZURE,), FaultKind.UNAVAILABLE),
    ({"kind": Injection.STATUS, "status": 429, "retry_after": 7}, _ALL, FaultKind.RATE_LIMITED),
    ({"kind": Injection.STATUS, "status": 403}, _ALL, FaultKind.PERMISSION_DENIED),
    ({"kind": Injection.STATUS, "status": 404}, _ALL, FaultKind.MODEL_NOT_FOUND),
    ({"kind": Injection.STATUS, "status": 400}, _ALL, FaultKind.BAD_REQUEST),
    ({"kind": Injection.STATUS, "status": 400, "code": "content_filter"}, (_AZURE,), FaultKind.REFUSED),
    ({"kind": Injection.STATUS, "reason": Reason.CONTEXT_TOO_LONG}, _ALL, FaultKind.CONTEXT_TOO_LONG),
    ({"kind": Injection.STATUS, "reason": Reason.WRONG_KEY}, _ALL, FaultKind.CREDENTIAL_REJECTED),
    ({"kind": Injection.STATUS, "reason": Reason.EXPIRED_KEY}, (_GEMINI, _VERTEX), FaultKind.CREDENTIAL_EXPIRED),
    ({"kind": Injection.STATUS, "reason": Reason.EXPIRED_KEY}, (_AZURE,), FaultKind.CREDENTIAL_REJECTED),
    ({"kind": Injection.STATUS, "reason": Reason.QUOTA_EXHAUSTED}, _ALL, FaultKind.QUOTA_EXHAUSTED),
    ({"kind": Injection.RESET}, _ALL, FaultKind.READ),
    ({"kind": Injection.TRUNCATED}, _ALL, FaultKind.TRUNCATED),
    ({"kind": Injection.REFUSAL}, _ALL, FaultKind.REFUSED),
    ({"kind": Injection.EMPTY}, _ALL, FaultKind.EMPTY),
    ({"kind": Injection.HTML}, _ALL, FaultKind.MALFORMED),
]


@pytest.mark.parametrize(
    ("rule", "kind", "expected"),
    [(rule, kind, expected) for rule, kinds, expected in _FAULTS for kind in kinds],
    ids=lambda value: str(value)[:60],
)
async def test_injected_faults_are_told_apart(
    simulator: Simulator,
    transport: Transport,
    providers: Mapping[ProviderKind, RuledProvider],
    rule: dict[str, Any],
    kind: ProviderKind,
    expected: FaultKind,
) -> None:
    simulator.add_fault(FaultRule(prefix=f"/{KINDS[kind][0]}/", **rule))

    answer = (await transport.send(providers[kind], call_of(simulator, kind), timeout=5)).answer

    assert isinstance(answer, Fault)
    assert answer.kind is expected
    if expected is not FaultKind.QUOTA_EXHAUSTED:
        assert answer.retry_after == rule.get("retry_after")
    assert answer.usage.total == simulator.books().billed.total


async def test_a_daily_quota_of_gemini_comes_back_at_midnight_in_california(
    simulator: Simulator, transport: Transport
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.QUOTA_EXHAUSTED))
    provider = build_providers(clock=ManualClock())[_GEMINI]

    answer = (await transport.send(provider, call_of(simulator, _GEMINI), timeout=5)).answer

    assert isinstance(answer, Fault)
    assert (answer.kind, answer.retry_after) == (FaultKind.QUOTA_EXHAUSTED, 20 * 3_600)


async def test_one_token_serves_many_calls(
    simulator: Simulator, transport: Transport, providers: Mapping[ProviderKind, RuledProvider]
) -> None:
    for _ in range(5):
        await transport.send(providers[_VERTEX], call_of(simulator, _VERTEX), timeout=5)

    paths = [entry.path for entry in simulator.books().entries]
    assert paths.count("/oauth2/token") == 1
    assert len(served(simulator)) == 5


async def test_a_token_that_the_vendor_no_longer_takes_is_renewed(simulator: Simulator, transport: Transport) -> None:
    clock = ManualClock()
    clock.seconds = (SystemClock().now() - clock.now()).total_seconds()
    made = build_providers(fetch=transport.fetch, clock=clock, token_url=simulator.base_urls["google_oauth"])
    provider, call = made[_VERTEX], call_of(simulator, _VERTEX)
    await transport.send(provider, call, timeout=5)
    clock.seconds += 60
    simulator.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.EXPIRED_KEY, prefix="/vertex/", count=1))

    refused = (await transport.send(provider, call, timeout=5)).answer
    assert isinstance(refused, Fault)
    assert decide(refused).action is Action.REFRESH_CREDENTIAL
    assert isinstance(provider, HoldsTokens)
    assert provider.forget(call)
    again = (await transport.send(provider, call, timeout=5)).answer

    assert isinstance(again, Reply)
    paths = [entry.path for entry in simulator.books().entries]
    assert paths.count("/oauth2/token") == 2


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": Injection.STATUS, "reason": Reason.WRONG_KEY}, FaultKind.CREDENTIAL_REJECTED),
        ({"kind": Injection.STATUS, "status": 500}, FaultKind.UNAVAILABLE),
        ({"kind": Injection.STATUS, "status": 503, "retry_after": 7}, FaultKind.UNAVAILABLE),
        ({"kind": Injection.HTML}, FaultKind.UNAVAILABLE),
        ({"kind": Injection.RESET}, FaultKind.READ),
    ],
    ids=str,
)
async def test_faults_of_the_token_endpoint_are_told_apart_and_no_model_runs(
    simulator: Simulator,
    transport: Transport,
    providers: Mapping[ProviderKind, RuledProvider],
    rule: dict[str, Any],
    expected: FaultKind,
) -> None:
    simulator.add_fault(FaultRule(prefix="/oauth2/", **rule))

    sent = await transport.send(providers[_VERTEX], call_of(simulator, _VERTEX), timeout=5)

    assert isinstance(sent.answer, Fault)
    assert (sent.answer.kind, sent.latency) == (expected, 0)
    assert served(simulator) == []


@pytest.mark.parametrize(
    ("file", "state"),
    [
        (json.loads(simulated_key_file(EMAIL)), KeyState.REVOKED),
        (
            json.loads(simulated_key_file(EMAIL))
            | {"private_key": json.loads(simulated_key_file("other@x.example"))["private_key"]},
            KeyState.ACTIVE,
        ),
        (json.loads(simulated_key_file("nobody@x.example")), KeyState.ACTIVE),
    ],
    ids=["disabled account", "another key", "no such account"],
)
async def test_a_service_account_that_the_vendor_does_not_take_is_a_refused_credential(
    simulator: Simulator,
    transport: Transport,
    providers: Mapping[ProviderKind, RuledProvider],
    file: Mapping[str, str],
    state: KeyState,
) -> None:
    simulator.put_account(Account(key=SecretStr(EMAIL), state=state))
    call = call_of(simulator, _VERTEX, secret=json.dumps(file))

    answer = (await transport.send(providers[_VERTEX], call, timeout=5)).answer

    assert isinstance(answer, Fault)
    assert (answer.kind, answer.code) == (FaultKind.CREDENTIAL_REJECTED, "invalid_grant")


async def test_without_a_transport_no_token_is_fetched(simulator: Simulator, transport: Transport) -> None:
    provider = build_providers(fetch=unconnected, token_url=TOKEN_URL)[_VERTEX]

    sent = await transport.send(provider, call_of(simulator, _VERTEX), timeout=5)

    assert isinstance(sent.answer, Fault)
    assert sent.answer.kind is FaultKind.CONNECT
    assert "makes no calls" in sent.answer.message
