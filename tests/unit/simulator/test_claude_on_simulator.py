"""Our providers against the simulated vendors, over the transport that a worker uses."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends
from pydantic import SecretStr

from config.catalogue import ModelFacts, load_catalogue
from config.settings import Settings
from tasks.contract import ProviderKind, TokenUsage
from tests.providers import make_call
from workers.clock import SystemClock
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Reason, Simulator
from workers.embedded.simulator.wire import stand_in
from workers.embedded.simulator.wire.aws_signature import Identity, simulated_credential
from workers.embedded.simulator.wire.bedrock import BedrockConverse
from workers.engine.outcome import Action, decide
from workers.providers.anthropic import AnthropicProvider
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply
from workers.providers.bedrock import BedrockProvider
from workers.providers.transport import Transport, build_transport

_TAGS = {"project": "acme", "job": "j-1", "attempt": "1.0.1", "team": "Suche & Co"}
_LISTED = [facts for facts in load_catalogue() if facts.provider in {ProviderKind.ANTHROPIC, ProviderKind.BEDROCK}]
_SYSTEM = "Extract the facts. " * 300
_SECRETS = {
    ProviderKind.ANTHROPIC: "sk-ant-simulated-0123456789",
    ProviderKind.BEDROCK: simulated_credential("AKIASIMULATED0000001"),
}


@pytest.fixture
async def vendors() -> AsyncIterator[Simulator]:
    async with Simulator(Options(latency=Latency.fixed(0), seed=1)) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings())
    yield transport
    await transport.aclose()


@pytest.fixture
def providers() -> dict[ProviderKind, Provider]:
    return {
        ProviderKind.ANTHROPIC: AnthropicProvider(),
        ProviderKind.BEDROCK: BedrockProvider(clock=SystemClock()),
    }


def _call(vendors: Simulator, provider: ProviderKind, model: str, **more: Any) -> Call:
    return make_call(
        provider=provider,
        model=model,
        tags=_TAGS,
        base_url=vendors.base_urls[provider.value],
        **{"secret": _SECRETS[provider], "system": _SYSTEM, **more},
    )


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider.value}-{facts.id}")
async def test_every_listed_model_takes_our_request_does_not_think_and_counts_as_we_count(
    vendors: Simulator, transport: Transport, providers: dict[ProviderKind, Provider], facts: ModelFacts
) -> None:
    usages: list[TokenUsage] = []
    for _ in range(2):
        sent = await transport.send(providers[facts.provider], _call(vendors, facts.provider, facts.id), timeout=10)
        assert isinstance(sent.answer, Reply), sent.answer
        assert json.loads(sent.answer.text).keys() == {"facts"}
        usages.append(sent.answer.usage)
    billed = vendors.books().billed
    ours = usages[0] + usages[1]
    assert (ours.input, ours.cached_input, ours.cache_write, ours.output) == (
        billed.input,
        billed.cached_input,
        billed.cache_write,
        billed.output,
    )
    assert billed.reasoning == 0
    cached = facts.cache_minimum is not None and facts.cache_minimum * 4 <= len(_SYSTEM)
    assert (usages[0].cache_write > 0, usages[1].cached_input > 0) == (cached, cached)


async def test_a_profile_of_the_customers_own_is_called_by_its_arn(
    vendors: Simulator, transport: Transport, providers: dict[ProviderKind, Provider]
) -> None:
    """Its slash must arrive encoded, and its colons as they were signed."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    call = _call(vendors, ProviderKind.BEDROCK, arn, unverified=True)
    assert isinstance((await transport.send(providers[ProviderKind.BEDROCK], call, timeout=10)).answer, Reply)


async def test_where_native_output_is_refused_the_next_try_succeeds_with_a_tool(
    vendors: Simulator, transport: Transport, providers: dict[ProviderKind, Provider]
) -> None:
    provider = providers[ProviderKind.BEDROCK]
    call = _call(
        vendors, ProviderKind.BEDROCK, "us.anthropic.claude-haiku-4-5-20251001-v1:0", structured_output="native"
    )
    refused = (await transport.send(provider, call, timeout=10)).answer
    assert isinstance(refused, Fault)
    assert (decide(refused).action, refused.retry_after) == (Action.RETRY, 0)
    assert isinstance((await transport.send(provider, call, timeout=10)).answer, Reply)
    native = _call(vendors, ProviderKind.BEDROCK, "us.anthropic.claude-haiku-5-5", structured_output="native")
    assert isinstance((await transport.send(provider, native, timeout=10)).answer, Reply)


_FAULTS: list[tuple[ProviderKind, dict[str, Any], FaultKind]] = [
    *(
        (provider, fault, kind)
        for provider in (ProviderKind.ANTHROPIC, ProviderKind.BEDROCK)
        for fault, kind in (
            ({"reason": Reason.WRONG_KEY}, FaultKind.CREDENTIAL_REJECTED),
            ({"reason": Reason.FORBIDDEN}, FaultKind.PERMISSION_DENIED),
            ({"reason": Reason.MODEL_NOT_FOUND}, FaultKind.MODEL_NOT_FOUND),
            ({"reason": Reason.CONTEXT_TOO_LONG}, FaultKind.CONTEXT_TOO_LONG),
            ({"reason": Reason.BAD_REQUEST}, FaultKind.BAD_REQUEST),
            ({"reason": Reason.RATE_LIMITED, "retry_after": 3}, FaultKind.RATE_LIMITED),
            ({"reason": Reason.QUOTA_EXHAUSTED}, FaultKind.QUOTA_EXHAUSTED),
            ({"reason": Reason.SERVER_ERROR}, FaultKind.UNAVAILABLE),
            ({"reason": Reason.OVERLOADED}, FaultKind.OVERLOADED),
        )
    ),
    (ProviderKind.ANTHROPIC, {"reason": Reason.EXPIRED_KEY}, FaultKind.CREDENTIAL_REJECTED),
    (ProviderKind.BEDROCK, {"reason": Reason.EXPIRED_KEY}, FaultKind.CREDENTIAL_EXPIRED),
    (ProviderKind.BEDROCK, {"status": 424}, FaultKind.UNAVAILABLE),
]
_MODELS = {
    ProviderKind.ANTHROPIC: "claude-haiku-5-5",
    ProviderKind.BEDROCK: "global.anthropic.claude-haiku-4-5-20251001-v1:0",
}


@pytest.mark.parametrize(("provider", "fault", "kind"), _FAULTS)
async def test_the_vendors_errors_are_told_apart(
    vendors: Simulator,
    transport: Transport,
    providers: dict[ProviderKind, Provider],
    provider: ProviderKind,
    fault: dict[str, Any],
    kind: FaultKind,
) -> None:
    vendors.add_fault(FaultRule(kind=Injection.STATUS, **fault))
    found = (await transport.send(providers[provider], _call(vendors, provider, _MODELS[provider]), timeout=10)).answer
    assert isinstance(found, Fault)
    assert found.kind is kind
    assert found.request_id


@pytest.mark.parametrize("provider", [ProviderKind.ANTHROPIC, ProviderKind.BEDROCK])
@pytest.mark.parametrize(
    ("injection", "kind"),
    [
        (Injection.REFUSAL, FaultKind.REFUSED),
        (Injection.TRUNCATED, FaultKind.TRUNCATED),
        (Injection.EMPTY, FaultKind.EMPTY),
        (Injection.HTML, FaultKind.MALFORMED),
    ],
)
async def test_answers_that_are_not_usable_are_told_apart_and_billed(
    vendors: Simulator,
    transport: Transport,
    providers: dict[ProviderKind, Provider],
    provider: ProviderKind,
    injection: Injection,
    kind: FaultKind,
) -> None:
    vendors.add_fault(FaultRule(kind=injection))
    found = (await transport.send(providers[provider], _call(vendors, provider, _MODELS[provider]), timeout=10)).answer
    assert isinstance(found, Fault)
    assert found.kind is kind
    assert found.usage.total == vendors.books().billed.total


@pytest.fixture
def sts_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto's STS, and a worker with AWS credentials of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWORKER00EXAMPLE0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-workers-own-secret")
    yield url
    server.stop()


class _ShiftedClock(SystemClock):
    """The machine's time, and what a test adds to it: STS and signatures go by the machine's."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset


def _role_of(access_key_id: str) -> Identity | None:
    """What STS knows of a session that it granted with the right external id."""
    for role in sts_backends["123456789012"]["aws"].assumed_roles:
        if role.access_key_id == access_key_id and role.external_id == "byom-8f3a":
            return Identity(
                secret_access_key=SecretStr(role.secret_access_key),
                session_token=SecretStr(role.session_token),
                account=role.role_arn,
            )
    return None


@pytest.mark.usefixtures("sts_url")
async def test_a_role_is_assumed_and_its_session_signs_and_a_refused_one_is_replaced(transport: Transport) -> None:
    role = "arn:aws:iam::123456789012:role/byom-extract"
    mount = replace(stand_in(ProviderKind.BEDROCK), wire=BedrockConverse(resolve=_role_of))
    options = Options(accounts=(Account(key=SecretStr(role)),), permissive=False, latency=Latency.fixed(0))
    clock = _ShiftedClock()
    provider = BedrockProvider(clock=clock)
    async with Simulator(options, mounts=(mount,)) as customer:
        call = make_call(
            provider=ProviderKind.BEDROCK,
            model=_MODELS[ProviderKind.BEDROCK],
            secret=role,
            tags=_TAGS,
            base_url=customer.base_urls["bedrock"],
            external_id="byom-8f3a",
        )
        assert isinstance((await transport.send(provider, call, timeout=10)).answer, Reply)

        sts_backends["123456789012"]["aws"].assumed_roles.clear()
        refused = (await transport.send(provider, call, timeout=10)).answer
        assert isinstance(refused, Fault)
        assert decide(refused).action is Action.REFRESH_CREDENTIAL
        clock.offset += timedelta(minutes=1)
        assert provider.forget(call)
        assert isinstance((await transport.send(provider, call, timeout=10)).answer, Reply)

        wrong = (await transport.send(provider, _with_external_id(call, "byom-wrong"), timeout=10)).answer
        assert isinstance(wrong, Fault)
        assert wrong.kind is FaultKind.CREDENTIAL_REJECTED


def _with_external_id(call: Call, external_id: str) -> Call:
    return Call(
        prompt=call.prompt,
        connection=call.connection.model_copy(update={"external_id": external_id}),
        credential=call.credential,
        model=call.model,
        tags=call.tags,
    )
