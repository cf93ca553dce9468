"""What Gemini and Vertex are sent, held against Google's own SDK and Google's own description of the API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from pydantic import ValidationError

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind, Tier
from tests.google import TokenEndpoint, discovery_problems, vertex_call
from tests.providers import CANARY, SCHEMA, make_call
from tests.support import ManualClock
from workers.extraction.schema import PACKED_SCHEMA
from workers.providers.base import Call, Fault, FaultKind, WireRequest
from workers.providers.gemini import GeminiProvider
from workers.providers.google_tokens import GoogleTokens
from workers.providers.vertex import VertexProvider

_LISTED = [facts for facts in load_catalogue() if facts.provider in {ProviderKind.GEMINI, ProviderKind.VERTEX}]
_TAGS = {"project": "Acme Corp", "provider": "gemini", "role": "primary", "job": "j-1", "attempt": "1.0.1"}
_REQUEST = "GoogleCloudAiplatformV1GenerateContentRequest"

#: What the vendor's table of thinking says, model by model; written down here a second time, on purpose.
_THINKING: Mapping[str, dict[str, object]] = {
    "gemini-2.5-flash-lite": {"thinkingBudget": 0},
    "gemini-3.1-flash-lite": {"thinkingLevel": "MINIMAL"},
    "gemini-3.5-flash-lite": {"thinkingLevel": "MINIMAL"},
    "gemini-3.8-flash": {"thinkingLevel": "LOW"},
}


async def _sent(call: Call) -> WireRequest:
    clock = ManualClock()
    provider: GeminiProvider | VertexProvider = GeminiProvider(clock=clock)
    if call.connection.provider is ProviderKind.VERTEX:
        provider = VertexProvider(clock=clock, tokens=GoogleTokens(fetch=TokenEndpoint(), clock=clock))
    wire = await provider.prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


def _call(facts: ModelFacts, **changes: Any) -> Call:
    given: dict[str, Any] = {"provider": facts.provider, "model": facts.id, "facts": facts, "tags": _TAGS} | changes
    return vertex_call(**given) if facts.provider is ProviderKind.VERTEX else make_call(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    url: str
    headers: httpx.Headers
    body: Mapping[str, Any]


def _by_the_sdk(kind: ProviderKind, model: str, body: Mapping[str, Any]) -> _Seen:
    """The same request as Google's SDK makes it; its types refuse every field that they do not know."""
    seen: list[_Seen] = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(_Seen(url=str(request.url), headers=request.headers, body=json.loads(request.content)))
        return httpx.Response(200, json={"candidates": []})

    vertex = kind is ProviderKind.VERTEX
    token = Credentials(token="t")  # type: ignore[no-untyped-call]  # google-auth has no types here
    own: dict[str, Any] = (
        {"vertexai": True, "project": "acme-prod", "location": "us-central1", "credentials": token}
        if vertex
        else {"api_key": CANARY}
    )
    with httpx.Client(transport=httpx.MockTransport(server)) as http:
        options = types.HttpOptions(api_version="v1" if vertex else "v1beta", httpx_client=http)
        client = genai.Client(http_options=options, **own)
        rest = {name: value for name, value in body.items() if name not in {"contents", "generationConfig"}}
        client.models.generate_content(
            model=model,
            contents=[types.Content.model_validate(content) for content in body["contents"]],
            config=types.GenerateContentConfig.model_validate({**rest, **body["generationConfig"]}),
        )
    return seen[0]


@pytest.mark.parametrize("tier", [None, Tier.FLEX])
@pytest.mark.parametrize("schema", [SCHEMA, PACKED_SCHEMA], ids=["single", "packed"])
@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider.value}-{facts.id}")
async def test_each_listed_model_gets_the_request_that_the_vendors_own_sdk_would_send(
    facts: ModelFacts, schema: Mapping[str, Any], tier: Tier | None
) -> None:
    wire = await _sent(_call(facts, schema=schema, tier=tier))
    body = json.loads(wire.content)
    seen = _by_the_sdk(facts.provider, facts.id, body)

    # The SDK leaves this one as it was given; the API takes both spellings.
    thinking = types.ThinkingConfig.model_validate(seen.body["generationConfig"]["thinkingConfig"])
    normal = thinking.model_dump(mode="json", by_alias=True, exclude_none=True)
    generation = {**seen.body["generationConfig"], "thinkingConfig": normal}
    assert {**seen.body, "generationConfig": generation} == body
    assert seen.url == wire.url
    auth = "authorization" if facts.provider is ProviderKind.VERTEX else "x-goog-api-key"
    assert auth in seen.headers
    assert auth in wire.headers


def test_the_check_against_the_sdk_sees_an_unknown_field() -> None:
    for generation in ({"maxTokens": 1}, {"thinkingConfig": {"level": "LOW"}}):
        body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}], "generationConfig": generation}
        with pytest.raises(ValidationError):
            _by_the_sdk(ProviderKind.GEMINI, "m", body)


@pytest.mark.parametrize(
    "facts", [facts for facts in _LISTED if facts.provider is ProviderKind.VERTEX], ids=lambda facts: facts.id
)
async def test_vertex_gets_what_its_discovery_document_describes(facts: ModelFacts) -> None:
    body = json.loads((await _sent(_call(facts))).content)
    assert discovery_problems(body, _REQUEST) == []


def test_the_check_against_the_discovery_document_sees_wrong_keys_types_and_values() -> None:
    body = {
        "store": False,
        "labels": {"a": 1},
        "contents": [{"role": "user", "parts": [{"txt": "x"}]}],
        "generationConfig": {"maxOutputTokens": "9", "thinkingConfig": {"thinkingLevel": "OFF"}},
    }
    assert sorted(discovery_problems(body, _REQUEST)) == [
        ".contents[0].parts[0].txt: unknown",
        ".generationConfig.maxOutputTokens: not a integer",
        ".generationConfig.thinkingConfig.thinkingLevel: not one of the values",
        ".labels.a: not a string",
        ".store: unknown",
    ]


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: f"{facts.provider.value}-{facts.id}")
async def test_what_the_catalogue_says_is_what_goes_over_the_wire(facts: ModelFacts) -> None:
    body = json.loads((await _sent(_call(facts))).content)
    generation = body["generationConfig"]
    assert generation.keys() == {
        "maxOutputTokens",
        "candidateCount",
        "responseMimeType",
        "responseJsonSchema",
        "thinkingConfig",
    }
    assert generation["thinkingConfig"] == _THINKING[facts.id]
    # Only the Gemini API has a field against retention; Vertex refuses it as unknown.
    shared = {"systemInstruction", "contents", "generationConfig", "labels"}
    if facts.provider is ProviderKind.GEMINI:
        assert body.keys() == shared | {"store", "serviceTier"}
        assert (body["store"], body["serviceTier"]) == (False, "standard")
    else:
        assert body.keys() == shared


def test_every_listed_model_has_its_thinking_written_down() -> None:
    assert {facts.id for facts in _LISTED} == _THINKING.keys()


@pytest.mark.parametrize("reasoning", [ReasoningOff.UNKNOWN, ReasoningOff.NOT_NEEDED])
async def test_a_model_that_does_not_think_or_is_not_known_gets_no_thinking_field(reasoning: ReasoningOff) -> None:
    facts = ModelFacts(
        provider=ProviderKind.GEMINI, id="gemini-next", context=1_000, max_output=1_000, reasoning=reasoning
    )
    body = json.loads((await _sent(_call(facts, unverified=True))).content)
    assert "thinkingConfig" not in body["generationConfig"]


async def test_the_whole_request_to_gemini() -> None:
    wire = await _sent(make_call(provider=ProviderKind.GEMINI, model="gemini-2.5-flash-lite", tags={"team": "Search"}))
    assert wire.method == "POST"
    assert wire.url == "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash-lite:generateContent"
    assert wire.headers == {"x-goog-api-key": CANARY, "content-type": "application/json"}
    assert json.loads(wire.content) == {
        "store": False,
        "serviceTier": "standard",
        "systemInstruction": {"parts": [{"text": "Extract the facts."}]},
        "contents": [{"role": "user", "parts": [{"text": "Ada lives in Paris."}]}],
        "generationConfig": {
            "maxOutputTokens": 1_200,
            "candidateCount": 1,
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            "thinkingConfig": {"thinkingBudget": 0},
        },
        "labels": {"team": "search"},
    }


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "us-central1-aiplatform.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
    ],
)
async def test_vertex_is_called_where_the_model_runs(location: str | None, host: str) -> None:
    wire = await _sent(vertex_call(location=location))
    assert wire.url == (
        f"https://{host}/v1/projects/acme-prod/locations/{location or 'us-central1'}/publishers/google/models/"
        "gemini-3.5-flash-lite:generateContent"
    )
    assert wire.headers == {"authorization": "Bearer ya29.token-1", "content-type": "application/json"}


@pytest.mark.parametrize(
    ("project", "shown"),
    [
        ("other-project", "other-project"),
        ("example.com:old-project", "example.com:old-project"),
        ("../../evil?x=#", "..%2F..%2Fevil%3Fx%3D%23"),
    ],
)
async def test_the_connections_gcp_project_goes_before_the_key_files(project: str, shown: str) -> None:
    wire = await _sent(vertex_call(gcp_project=project))
    assert f"/v1/projects/{shown}/locations/us-central1/" in wire.url


async def test_a_models_name_cannot_leave_its_place_in_the_path() -> None:
    named: dict[str, Any] = {"model": "../x?key=1", "unverified": True}
    gemini = await _sent(make_call(provider=ProviderKind.GEMINI, **named))
    assert gemini.url.endswith("/v1beta/models/..%2Fx%3Fkey%3D1:generateContent")
    assert (await _sent(vertex_call(**named))).url.endswith("/google/models/..%2Fx%3Fkey%3D1:generateContent")


async def test_a_base_url_replaces_the_vendors_host() -> None:
    base: dict[str, Any] = {"base_url": "http://127.0.0.1:9/google/"}
    gemini = await _sent(make_call(provider=ProviderKind.GEMINI, model="gemini-2.5-flash-lite", **base))
    assert gemini.url == "http://127.0.0.1:9/google/v1beta/models/gemini-2.5-flash-lite:generateContent"
    vertex = await _sent(vertex_call(**base))
    assert vertex.url.startswith("http://127.0.0.1:9/google/v1/projects/acme-prod/locations/us-central1/publishers/")


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "umläut"])
async def test_a_key_that_no_header_takes_is_refused_without_quoting_it(secret: str) -> None:
    call = make_call(provider=ProviderKind.GEMINI, model="gemini-2.5-flash-lite", secret=secret)
    fault = await GeminiProvider(clock=ManualClock()).prepare(call)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert not secret or secret not in repr(fault)


async def test_equal_prompts_are_equal_bytes_up_to_the_episode() -> None:
    calls = [vertex_call(user=user, tags=_TAGS) for user in ("FIRST", "SECOND")]
    first, second = [(await _sent(call)).content for call in calls]
    assert first.replace(b"FIRST", b"SECOND") == second
