"""The batch endpoints of the simulator: the vendors' own SDKs use them, and so do our providers."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import anthropic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.messages.batch_create_params import BatchCreateParams, Request
from google import genai
from google.genai import types
from pydantic import SecretStr, TypeAdapter

from config.catalogue import ModelFacts, load_catalogue
from config.settings import Settings
from tasks.contract import ProviderKind, Tier
from tests.providers import CANARY, make_call, unknown_keys
from tests.support import ManualClock
from workers.embedded.simulator import (
    Account,
    FaultRule,
    Injection,
    Latency,
    Options,
    Simulator,
    SimulatorThread,
)
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.batches import BatchItem, BatchProvider, BatchView, Undone
from workers.providers.registry import build_batches
from workers.providers.transport import Transport, build_transport

_TAGS = {"project": "acme", "job": "j-1", "attempt": "1.1.1"}
_LISTED = [facts for facts in load_catalogue() if Tier.BATCH in facts.economy]
_MODELS = {ProviderKind.ANTHROPIC: "claude-haiku-5-5", ProviderKind.GEMINI: "gemini-3.5-flash-lite"}
kinds = pytest.mark.parametrize("kind", _MODELS, ids=lambda kind: kind.value)


@pytest.fixture
def thread() -> Iterator[SimulatorThread]:
    accounts = (Account(key=SecretStr(CANARY)),)
    options = Options(accounts=accounts, permissive=False, latency=Latency.fixed(0), batch_seconds=3_600)
    with SimulatorThread(options) as running:
        yield running


def test_anthropics_own_sdk_sends_looks_at_and_reads_a_batch(thread: SimulatorThread) -> None:
    params: MessageCreateParamsNonStreaming = {
        "model": "claude-haiku-5-5",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Ada lives in Paris."}],
        "thinking": {"type": "disabled"},
    }
    with anthropic.Anthropic(api_key=CANARY, base_url=thread.base_urls["anthropic"], max_retries=0) as client:
        batches = client.messages.batches
        made = batches.create(requests=[{"custom_id": f"c{number}", "params": params} for number in range(3)])
        assert (made.processing_status, made.request_counts.processing) == ("in_progress", 3)
        assert [one.id for one in batches.list(limit=5)] == [made.id]

        thread.end_batches(done=2)
        ended = batches.retrieve(made.id)
        assert (ended.processing_status, ended.request_counts.succeeded, ended.request_counts.expired) == (
            "ended",
            2,
            1,
        )
        results = {one.custom_id: one.result for one in batches.results(made.id)}
        assert [results[f"c{number}"].type for number in range(3)] == ["succeeded", "succeeded", "expired"]
        first = results["c0"]
        assert first.type == "succeeded"
        assert first.message.usage.service_tier == "batch"
        assert batches.delete(made.id).id == made.id
        assert list(batches.list()) == []
    billed = thread.books()
    assert {total.tier: total.delivered for total in billed.totals if total.served} == {"batch": 2}


def test_googles_own_sdk_sends_looks_at_and_reads_a_batch(thread: SimulatorThread) -> None:
    client = genai.Client(
        api_key=CANARY,
        http_options=types.HttpOptions(base_url=thread.base_urls["gemini"], api_version="v1beta"),
    )
    inlined = types.InlinedRequest(
        contents=[types.Content(role="user", parts=[types.Part(text="Ada lives in Paris.")])], metadata={"key": "a"}
    )
    made = client.batches.create(
        model="gemini-3.5-flash-lite", src=[inlined, inlined], config=types.CreateBatchJobConfig(display_name="mine")
    )
    assert (made.state, made.display_name) == (types.JobState.JOB_STATE_RUNNING, "mine")
    assert made.name is not None
    assert [one.name for one in client.batches.list()] == [made.name]

    thread.end_batches()
    ended = client.batches.get(name=made.name)
    assert ended.state is types.JobState.JOB_STATE_SUCCEEDED
    assert ended.dest is not None
    responses = ended.dest.inlined_responses or []
    assert [one.metadata for one in responses] == [{"key": "a"}, {"key": "a"}]
    assert all(one.response is not None and one.response.text for one in responses)
    client.batches.delete(name=made.name)
    assert list(client.batches.list()) == []
    client.close()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    accounts = (Account(key=SecretStr(CANARY)),)
    options = Options(accounts=accounts, permissive=False, latency=Latency.fixed(0), batch_seconds=3_600)
    async with Simulator(options) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings(connect_timeout=2))
    yield transport
    await transport.aclose()


class Desk:
    """Our own batches against the simulator."""

    def __init__(self, kind: ProviderKind, simulator: Simulator, transport: Transport) -> None:
        self.kind = kind
        self.simulator = simulator
        self.transport = transport
        self.provider: BatchProvider = build_batches()[kind]

    def call(self, **changes: Any) -> Call:
        base_url = self.simulator.base_urls[self.kind.value]
        given = {"model": _MODELS[self.kind], "base_url": base_url, "tags": _TAGS, "tier": Tier.BATCH}
        return make_call(**{"provider": self.kind, **given, **changes})

    async def ask(self, request: WireRequest | Fault) -> WireResponse:
        assert isinstance(request, WireRequest)
        response = await self.transport.ask(request, name="x", timeout=5)
        assert isinstance(response, WireResponse)
        return response

    async def submit(self, *items: BatchItem) -> BatchView | Fault:
        response = await self.ask(self.provider.submit(items, name="b-1"))
        return self.provider.read(self.call(), response)

    async def look(self, view: BatchView) -> BatchView | Fault:
        return self.provider.read(self.call(), await self.ask(self.provider.look(self.call(), view.id)))

    async def results(self, view: BatchView, *ids: str) -> Mapping[str, Reply | Fault | Undone]:
        response = await self.ask(self.provider.results(self.call(), view.id))
        outcomes = self.provider.read_results(self.call(), response, ids)
        assert not isinstance(outcomes, Fault)
        return outcomes

    def items(self, number: int, **changes: Any) -> list[BatchItem]:
        return [BatchItem(id=f"i-{place}", call=self.call(**changes)) for place in range(number)]


@kinds
async def test_a_batch_goes_from_sending_to_results_and_away(
    kind: ProviderKind, simulator: Simulator, transport: Transport
) -> None:
    desk = Desk(kind, simulator, transport)
    sent = await desk.submit(*desk.items(2))
    assert isinstance(sent, BatchView)
    assert sent.ended is False
    listed = desk.provider.read_listing(desk.call(), await desk.ask(desk.provider.listing(desk.call())))
    assert not isinstance(listed, Fault)
    assert [(view.id, view.name or view.size) for view in listed] == [
        (sent.id, "b-1" if kind is ProviderKind.GEMINI else 2)
    ]

    simulator.end_batches()
    ended = await desk.look(sent)
    assert isinstance(ended, BatchView)
    assert ended.ended is True
    outcomes = await desk.results(ended, "i-0", "i-1")

    assert set(outcomes) == {"i-0", "i-1"}
    for outcome in outcomes.values():
        assert isinstance(outcome, Reply)
        assert json.loads(outcome.text) == {"facts": ["Ada lives in Paris."]}
        assert outcome.tier is Tier.BATCH
        assert outcome.request_id
    entries = [entry for entry in simulator.books().entries if entry.served]
    assert [(entry.tier, entry.stored) for entry in entries] == [("batch", False)] * 2
    assert (await desk.ask(desk.provider.delete(desk.call(), sent.id))).status == 200
    gone = await desk.look(sent)
    assert isinstance(gone, Fault)
    assert gone.kind is FaultKind.MODEL_NOT_FOUND


@kinds
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FaultRule(kind=Injection.STATUS, status=400, tier="batch", count=1), FaultKind.BAD_REQUEST),
        (FaultRule(kind=Injection.STATUS, status=429, tier="batch", count=1), FaultKind.RATE_LIMITED),
        (FaultRule(kind=Injection.STATUS, status=500, tier="batch", count=1), FaultKind.UNAVAILABLE),
        (FaultRule(kind=Injection.REFUSAL, tier="batch", count=1), FaultKind.REFUSED),
        (FaultRule(kind=Injection.TRUNCATED, tier="batch", count=1), FaultKind.TRUNCATED),
        (FaultRule(kind=Injection.EMPTY, tier="batch", count=1), FaultKind.EMPTY),
        (FaultRule(kind=Injection.HANG, tier="batch", count=1), None),
    ],
    ids=lambda value: value.kind.value if isinstance(value, FaultRule) else str(value),
)
async def test_what_goes_wrong_with_one_call_is_told_as_if_it_had_been_made_alone(
    kind: ProviderKind,
    rule: FaultRule,
    expected: FaultKind | None,
    simulator: Simulator,
    transport: Transport,
) -> None:
    desk = Desk(kind, simulator, transport)
    simulator.add_fault(rule)
    sent = await desk.submit(*desk.items(2))
    assert isinstance(sent, BatchView)
    simulator.end_batches()
    ended = await desk.look(sent)
    assert isinstance(ended, BatchView)

    outcomes = await desk.results(ended, "i-0", "i-1")

    assert isinstance(outcomes["i-1"], Reply)
    first = outcomes.get("i-0", ended.missing)
    if expected is None:
        assert first in {Undone.EXPIRED, Undone.LOST}
    else:
        assert isinstance(first, Fault)
        assert first.kind is expected
        assert first.tier is (Tier.BATCH if first.usage.total else None)


@kinds
async def test_a_batch_that_is_ended_early_keeps_what_was_done(
    kind: ProviderKind, simulator: Simulator, transport: Transport
) -> None:
    desk = Desk(kind, simulator, transport)
    sent = await desk.submit(*desk.items(4))
    assert isinstance(sent, BatchView)

    assert (await desk.ask(desk.provider.cancel(desk.call(), sent.id))).status == 200
    ended = await desk.look(sent)
    assert isinstance(ended, BatchView)
    assert ended.ended is True
    outcomes = await desk.results(ended, *(f"i-{place}" for place in range(4)))

    came = [outcomes.get(f"i-{place}", ended.missing) for place in range(4)]
    assert [isinstance(one, Reply) for one in came] == [True, True, False, False]
    assert came[2:] == [Undone.CANCELLED, Undone.CANCELLED]


@kinds
async def test_what_the_vendor_did_not_come_to_within_its_day_is_expired(
    kind: ProviderKind, transport: Transport
) -> None:
    clock = ManualClock()
    accounts = (Account(key=SecretStr(CANARY)),)
    options = Options(accounts=accounts, latency=Latency.fixed(0), batch_seconds=1e9)
    async with Simulator(options, clock=lambda: clock.now().timestamp()) as simulator:
        desk = Desk(kind, simulator, transport)
        sent = await desk.submit(*desk.items(1))
        assert isinstance(sent, BatchView)
        clock.seconds += 86_400
        ended = await desk.look(sent)
        assert isinstance(ended, BatchView)

        outcomes = await desk.results(ended, "i-0")

    assert outcomes.get("i-0", ended.missing) is Undone.EXPIRED


@kinds
async def test_a_key_that_is_refused_is_a_refused_credential(
    kind: ProviderKind, simulator: Simulator, transport: Transport
) -> None:
    desk = Desk(kind, simulator, transport)

    sent = await desk.submit(BatchItem(id="i-0", call=desk.call(secret="sk-other-key-1234567890")))

    assert isinstance(sent, Fault)
    assert sent.kind is FaultKind.CREDENTIAL_REJECTED
    assert desk.provider.look(desk.call(secret=""), "b").kind is FaultKind.CREDENTIAL_REJECTED  # type: ignore[union-attr]


_ANTHROPIC: TypeAdapter[Any] = TypeAdapter(BatchCreateParams)


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider.value}-{facts.id}")
def test_each_listed_model_gets_a_batch_that_the_vendors_types_accept(facts: ModelFacts) -> None:
    provider = build_batches()[facts.provider]
    call = make_call(provider=facts.provider, model=facts.id, facts=facts, tags=_TAGS, tier=Tier.BATCH)
    items = [BatchItem(id=f"{'0' * 32}-{place}", call=call) for place in range(2)]
    wire = provider.submit(items, name="b-1")
    assert isinstance(wire, WireRequest)
    body = json.loads(wire.content)

    if facts.provider is ProviderKind.ANTHROPIC:
        _ANTHROPIC.validate_python(body, strict=True)
        assert [unknown_keys(request, Request) for request in body["requests"]] == [[], []]
    else:
        assert _by_googles_sdk(facts.id, body) == body
    assert 0 < len(wire.content) - sum(provider.item_size(call) for _ in items) + 250 < 500


def _by_googles_sdk(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The same batch as Google's SDK would send it; its types refuse every field that they do not know."""
    import httpx  # noqa: PLC0415 - for this alone

    seen: list[dict[str, Any]] = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(200, json={"name": "batches/1", "metadata": {}})

    inlined = []
    for one in body["batch"]["inputConfig"]["requests"]["requests"]:
        request = one["request"]
        rest = {name: value for name, value in request.items() if name not in {"contents", "generationConfig"}}
        config = types.GenerateContentConfig.model_validate({**rest, **request["generationConfig"]})
        contents = [types.Content.model_validate(content) for content in request["contents"]]
        inlined.append(types.InlinedRequest(contents=contents, metadata=one["metadata"], config=config))
    with httpx.Client(transport=httpx.MockTransport(server)) as http:
        options = types.HttpOptions(api_version="v1beta", httpx_client=http)
        client = genai.Client(api_key=CANARY, http_options=options)
        client.batches.create(
            model=model,
            src=inlined,
            config=types.CreateBatchJobConfig(display_name=body["batch"]["displayName"]),
        )
    (sent,) = seen
    for one in sent["batch"]["inputConfig"]["requests"]["requests"]:
        thinking = one["request"]["generationConfig"].get("thinkingConfig")
        if thinking:
            # The SDK leaves this one as it was given; the API takes both spellings.
            normal = types.ThinkingConfig.model_validate(thinking)
            one["request"]["generationConfig"]["thinkingConfig"] = normal.model_dump(
                mode="json", by_alias=True, exclude_none=True
            )
    return sent
