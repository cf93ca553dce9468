"""Providers' own lists of models: every format, pages, and what happens where there is none."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anthropic.types
import google.genai.types
import openai.types
import pytest
from pydantic import SecretStr

from config.catalogue import load_catalogue
from tasks.contract import ProviderKind
from tests.providers import ScriptedClient
from tests.support import ManualClock
from tests.verification import KINDS, connected, secret_of
from workers.embedded.simulator import Account, FaultRule, Injection, KeyState, Simulator
from workers.embedded.simulator.wire.claude_facts import MODELS as CLAUDE_MODELS
from workers.embedded.simulator.wire.google_facts import GEMINI_MODELS
from workers.embedded.simulator.wire.openai_facts import MODELS as OPENAI_MODELS
from workers.providers.base import Call, Fault, FaultKind, WireRequest, WireResponse
from workers.providers.registry import build_providers
from workers.providers.transport import Transport
from workers.verification.live_models import LiveModel, LiveModels, live_models
from workers.verification.probe import probe_call

LISTED = (ProviderKind.OPENAI, ProviderKind.AZURE_OPENAI, ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC)
PROVIDERS = build_providers()


def call_of(kind: ProviderKind, **settings: Any) -> Call:
    link = connected(kind, **settings)
    facts = load_catalogue().find(kind, link.connection.model, unverified=True)
    return probe_call(link, secret_of(kind), facts)


async def read(vendors: Simulator, transport: Transport, kind: ProviderKind) -> LiveModels | Fault | None:
    call = call_of(kind, base_url=vendors.base_urls[KINDS[kind][0]])
    return await live_models(call, provider=PROVIDERS[kind], transport=transport, timeout=5)


async def scripted(
    kind: ProviderKind, answer: Callable[[WireRequest], Mapping[str, Any]], **settings: Any
) -> LiveModels | Fault | None:
    """The list that a vendor's answers amount to."""
    client = ScriptedClient(
        lambda request: WireResponse(status=200, headers={}, content=json.dumps(answer(request)).encode())
    )
    return await live_models(
        call_of(kind, **settings),
        provider=PROVIDERS[kind],
        transport=Transport(client, clock=ManualClock()),
        timeout=5,
    )


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ProviderKind.OPENAI, set(OPENAI_MODELS)),
        (ProviderKind.ANTHROPIC, set(CLAUDE_MODELS)),
        (ProviderKind.GEMINI, set(GEMINI_MODELS)),
        (ProviderKind.OPENAI_COMPATIBLE, {"simulated-model"}),
    ],
)
async def test_the_list_is_read_with_the_connections_own_key(
    vendors: Simulator, transport: Transport, kind: ProviderKind, names: set[str]
) -> None:
    live = await read(vendors, transport, kind)

    assert isinstance(live, LiveModels)
    assert {model.id for model in live.models} == names
    assert live.certain is (kind is not ProviderKind.OPENAI_COMPATIBLE)
    assert vendors.books().billed.total == 0


async def test_openai_says_when_models_end(vendors: Simulator, transport: Transport) -> None:
    live = await read(vendors, transport, ProviderKind.OPENAI)

    assert isinstance(live, LiveModels)
    assert live.find("gpt-4o-mini") == LiveModel(id="gpt-4o-mini", ends=date(2027, 1, 14))
    assert live.find("gpt-6-luna") == LiveModel(id="gpt-6-luna")
    assert live.find("gpt-nonsense") is None


async def test_azures_list_is_no_proof_of_a_deployment(vendors: Simulator, transport: Transport) -> None:
    live = await read(vendors, transport, ProviderKind.AZURE_OPENAI)

    assert isinstance(live, LiveModels)
    assert not live.certain
    assert live.find("gpt-6-luna") == LiveModel(id="gpt-6-luna", ends=date(2028, 3, 11))


@pytest.mark.parametrize("kind", [ProviderKind.VERTEX, ProviderKind.BEDROCK])
async def test_providers_without_a_list_are_not_asked(
    vendors: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    assert await read(vendors, transport, kind) is None
    assert vendors.books().requests == 0


@pytest.mark.parametrize("kind", LISTED)
async def test_a_refused_key_is_a_fault_as_in_a_call(
    vendors: Simulator, transport: Transport, kind: ProviderKind
) -> None:
    vendors.put_account(Account(key=SecretStr(KINDS[kind][2]), state=KeyState.REVOKED))
    live = await read(vendors, transport, kind)

    assert isinstance(live, Fault)
    assert live.kind is FaultKind.CREDENTIAL_REJECTED


async def test_a_page_that_is_no_list_is_a_wrong_endpoint(vendors: Simulator, transport: Transport) -> None:
    vendors.add_fault(FaultRule(kind=Injection.HTML))
    live = await read(vendors, transport, ProviderKind.OPENAI_COMPATIBLE)

    assert isinstance(live, Fault)
    assert live.kind is FaultKind.ENDPOINT_INVALID


def anthropic_model(**facts: Any) -> dict[str, Any]:
    entry = {
        "type": "model",
        "id": "claude-haiku-4-5-20251001",
        "display_name": "Claude",
        "created_at": "2025-10-01T00:00:00Z",
        "lifecycle": "active",
        **facts,
    }
    return anthropic.types.ModelInfo.model_validate(entry).model_dump(mode="json")


async def test_anthropic_says_when_models_retire_and_which_are_on_their_way_out() -> None:
    entries = [
        anthropic_model(lifecycle="deprecated", retires_at="2027-03-01T12:00:00Z"),
        anthropic_model(id="claude-haiku-5-5"),
    ]
    live = await scripted(ProviderKind.ANTHROPIC, lambda _: {"data": entries, "has_more": False, "last_id": "x"})

    assert isinstance(live, LiveModels)
    # The list names dated builds only; connections mostly name the model.
    assert live.find("claude-haiku-4-5") == LiveModel(
        id="claude-haiku-4-5-20251001", ends=date(2027, 3, 1), deprecated=True
    )


async def test_a_date_of_openais_is_read_as_its_sdk_types_it() -> None:
    entry = openai.types.Model(
        id="gpt-x", created=1, object="model", owned_by="system", shutdown_date="2027-04-01"
    ).model_dump()
    live = await scripted(ProviderKind.OPENAI, lambda _: {"object": "list", "data": [entry]})

    assert isinstance(live, LiveModels)
    assert live.models == (LiveModel(id="gpt-x", ends=date(2027, 4, 1)),)


async def test_azures_unix_time_is_read() -> None:
    seconds = int(datetime(2027, 9, 21, 12, tzinfo=UTC).timestamp())
    entry = {"id": "gpt-5.4-nano", "lifecycle_status": "generally-available", "deprecation": {"inference": seconds}}
    base = {"base_url": "https://acme.openai.azure.com/"}
    live = await scripted(ProviderKind.AZURE_OPENAI, lambda _: {"data": [entry]}, **base)

    assert isinstance(live, LiveModels)
    assert live.models == (LiveModel(id="gpt-5.4-nano", ends=date(2027, 9, 21)),)


async def test_geminis_list_leaves_out_what_does_not_generate() -> None:
    writes = {"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent"]}
    embeds = {"name": "models/embedding-x", "supportedGenerationMethods": ["embedContent"]}
    google.genai.types.Model.model_validate({"name": writes["name"]})
    live = await scripted(ProviderKind.GEMINI, lambda _: {"models": [writes, embeds]})

    assert isinstance(live, LiveModels)
    assert live.models == (LiveModel(id="gemini-x"),)


async def test_pages_are_followed_to_the_end_with_escaped_cursors() -> None:
    def page(request: WireRequest) -> Mapping[str, Any]:
        token = parse_qs(urlsplit(request.url).query).get("pageToken", [None])[0]
        following = {None: "a=&b", "a=&b": "c"}.get(token)
        entry = {"name": f"models/gemini-{token or 'first'}".replace("=&", "-"), "supportedGenerationMethods": None}
        return {"models": [entry]} | ({"nextPageToken": following} if following else {})

    live = await scripted(ProviderKind.GEMINI, page)

    assert isinstance(live, LiveModels)
    assert [model.id for model in live.models] == ["gemini-first", "gemini-a-b", "gemini-c"]


async def test_a_list_without_end_is_given_up() -> None:
    asked: list[str] = []

    def page(request: WireRequest) -> Mapping[str, Any]:
        asked.append(request.url)
        return {"data": [anthropic_model()], "has_more": True, "last_id": f"id-{len(asked)}"}

    live = await scripted(ProviderKind.ANTHROPIC, page)

    assert isinstance(live, Fault)
    assert len(asked) == 10
    assert asked[1].endswith("/v1/models?limit=1000&after_id=id-1")


@pytest.mark.parametrize(
    "entry",
    [
        {"id": None},
        {"id": "two words"},
        {"id": "x" * 300},
        {"id": KINDS[ProviderKind.OPENAI][2]},
        {"id": "m", "shutdown_date": "soon"},
        {"id": "m", "shutdown_date": 1e40},
        {"id": "m", "deprecation": "x"},
        "text",
    ],
    ids=lambda entry: json.dumps(entry)[:40],
)
async def test_what_a_server_lists_in_no_sane_form_is_left_out(entry: object) -> None:
    live = await scripted(ProviderKind.OPENAI, lambda _: {"data": [entry]})

    assert isinstance(live, LiveModels)
    assert live.models in {(), (LiveModel(id="m"),)}
