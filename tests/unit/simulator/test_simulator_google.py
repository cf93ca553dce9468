"""Google's own SDK is the judge: it must read the simulator as it reads the vendor."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2 import service_account
from pydantic import SecretStr

from config.catalogue import ModelFacts, load_catalogue
from tasks.contract import ProviderKind
from tests.google import discovery_problems
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Reason, Simulator
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.simulator.wire.google_facts import GEMINI_MODELS, VERTEX_MODELS, Facts

KEY = "AIza-simulated-0123456789"
EMAIL = "extractor@simulated-project.iam.gserviceaccount.com"
MODEL = "gemini-3.5-flash-lite"
SCHEMA = {"type": "object", "properties": {"facts": {"type": "array", "items": {"type": "string"}}}}
CONFIG: dict[str, Any] = {
    "system_instruction": "Extract.",
    "max_output_tokens": 500,
    "response_mime_type": "application/json",
    "response_json_schema": SCHEMA,
    "thinking_config": {"thinking_level": "MINIMAL"},
    "labels": {"team": "search"},
}

Make = Callable[[Simulator], genai.Client]


def gemini(simulator: Simulator, *, key: str = KEY) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=simulator.base_urls["gemini"]))


def vertex(simulator: Simulator, *, email: str = EMAIL) -> genai.Client:
    """With google-auth's own service account credentials, which fetch their token from the simulator."""
    info = json.loads(simulated_key_file(email)) | {"token_uri": simulator.base_urls["google_oauth"]}
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    make: Any = service_account.Credentials
    return genai.Client(
        vertexai=True,
        project="simulated-project",
        location="us-central1",
        credentials=make.from_service_account_info(info, scopes=scopes),
        http_options=types.HttpOptions(base_url=simulator.base_urls["vertex"]),
    )


both = pytest.mark.parametrize("make", [gemini, vertex])


@pytest.fixture
def options() -> Options:
    accounts = tuple(Account(key=SecretStr(key)) for key in (KEY, EMAIL))
    return Options(accounts=accounts, permissive=False, latency=Latency.fixed(0), seed=1)


@pytest.fixture
async def simulator(options: Options) -> Any:
    async with Simulator(options) as running:
        yield running


async def generate(client: genai.Client, **changes: Any) -> types.GenerateContentResponse:
    """One call, in a thread: google-auth fetches tokens blocking."""
    config = types.GenerateContentConfig.model_validate(CONFIG | changes.pop("config", {}))
    given: dict[str, Any] = {"model": MODEL, "contents": "Ada lives in Paris.", "config": config} | changes
    return await asyncio.to_thread(client.models.generate_content, **given)


async def failed(client: genai.Client, **changes: Any) -> errors.APIError:
    with pytest.raises(errors.APIError) as raised:
        await generate(client, **changes)
    return raised.value


@both
async def test_an_answer_is_read_by_the_sdk_and_booked_to_the_token(simulator: Simulator, make: Make) -> None:
    response = await generate(make(simulator))

    assert json.loads(response.text or "") == {"facts": ["Ada lives in Paris."]}
    assert response.model_version == MODEL
    usage, billed = response.usage_metadata, simulator.books().billed
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (billed.prompt, billed.output)
    assert usage.total_token_count == billed.total
    entry = simulator.books().entries[-1]
    assert entry.tags == {"team": "search"}
    assert entry.request_id == response.response_id


async def test_vertex_answers_in_the_terms_of_its_discovery_document(simulator: Simulator) -> None:
    seen: list[Any] = []
    client = vertex(simulator)

    def keep(response: httpx.Response) -> None:
        response.read()
        seen.append(response.json())

    client._api_client._httpx_client.event_hooks["response"] = [keep]
    await generate(client)
    simulator.add_fault(FaultRule(kind=Injection.REFUSAL, count=1))
    await generate(client)

    assert len(seen) == 2
    for body in seen:
        assert discovery_problems(body, "GoogleCloudAiplatformV1GenerateContentResponse") == []


async def test_what_is_not_told_otherwise_is_kept_by_gemini_and_never_by_vertex(simulator: Simulator) -> None:
    for client, config in ((gemini(simulator), {}), (gemini(simulator), {"store": False}), (vertex(simulator), {})):
        await generate(client, config=config)

    served = [entry for entry in simulator.books().entries if entry.served]
    assert [entry.stored for entry in served] == [True, False, False]


async def test_counting_and_listing(simulator: Simulator) -> None:
    client, other = gemini(simulator), vertex(simulator)
    counted = await asyncio.to_thread(client.models.count_tokens, model=MODEL, contents="Ada lives.")
    listed = await asyncio.to_thread(lambda: [model.name for model in client.models.list()])
    model = await asyncio.to_thread(client.models.get, model=MODEL)
    on_vertex = await asyncio.to_thread(other.models.count_tokens, model=MODEL, contents="Ada lives.")

    assert counted.total_tokens == on_vertex.total_tokens == 3
    assert listed == [f"models/{name}" for name in GEMINI_MODELS]
    assert model.input_token_limit == 1_048_576


async def test_the_list_comes_in_pages(simulator: Simulator) -> None:
    client = gemini(simulator)
    first = await asyncio.to_thread(lambda: client.models.list(config={"page_size": 2}))
    everything = await asyncio.to_thread(lambda: [model.name for model in client.models.list(config={"page_size": 2})])

    assert len(first.page) == 2
    assert everything == [f"models/{name}" for name in GEMINI_MODELS]


@pytest.mark.parametrize(
    ("model", "config", "thoughts"),
    [
        (MODEL, {"thinking_level": "MINIMAL"}, None),
        (MODEL, {"thinking_level": "LOW"}, 128),
        ("gemini-2.5-flash-lite", {"thinking_budget": 0}, None),
        ("gemini-2.5-flash-lite", {"thinking_budget": 512}, 512),
        ("gemini-3.8-flash", {"thinking_level": "LOW"}, 128),
        ("gemini-3.8-flash", {}, 512),
    ],
)
async def test_thoughts_are_counted_apart_from_the_answer(
    simulator: Simulator, model: str, config: dict[str, Any], thoughts: int | None
) -> None:
    response = await generate(
        gemini(simulator), model=model, config={"thinking_config": config, "max_output_tokens": None}
    )

    assert response.usage_metadata is not None
    assert response.usage_metadata.thoughts_token_count == thoughts
    assert simulator.books().billed.reasoning == (thoughts or 0)


async def test_a_cap_that_goes_into_thoughts_leaves_no_text(simulator: Simulator) -> None:
    config = {"thinking_config": {"thinking_level": "HIGH"}, "max_output_tokens": 100}
    response = await generate(gemini(simulator), config=config)

    (candidate,) = response.candidates or []
    assert candidate.finish_reason is types.FinishReason.MAX_TOKENS
    assert response.text is None


async def test_a_retired_model_is_answered_by_another(simulator: Simulator) -> None:
    response = await generate(gemini(simulator), model="gemini-2.5-flash", config={"thinking_config": {}})

    assert response.model_version == "gemini-3.5-flash-lite"


@both
async def test_a_long_prefix_is_read_from_the_cache_the_second_time(simulator: Simulator, make: Make) -> None:
    client = make(simulator)
    read = []
    for _ in range(2):
        response = await generate(client, config={"system_instruction": "Extract the facts. " * 400})
        assert response.usage_metadata is not None
        read.append(response.usage_metadata.cached_content_token_count or 0)

    assert read[0] == 0 < read[1] == simulator.books().billed.cached_input


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"max_output_tokens": 100_000}, "maxOutputTokens value of 100000"),
        ({"thinking_config": {"thinking_level": "MINIMAL", "thinking_budget": 0}}, "only one of thinking budget and"),
        ({"thinking_config": {"thinking_level": "XHIGH"}}, "Thinking level XHIGH is not supported"),
        ({"response_mime_type": "text/plain"}, "responseMimeType"),
        ({"labels": {"Team": "x"}}, "must start with a lowercase letter"),
        ({"labels": {"team": "Search Team"}}, "can only contain lowercase letters"),
        ({"labels": {"k" * 64: "x"}}, "can be no longer than 63"),
        ({"temperature": 3.0}, "generation_config.temperature"),
        ({"cached_content": "cachedContents/x"}, 'Unknown name "cachedContent"'),
    ],
)
async def test_what_the_vendor_refuses_is_refused(simulator: Simulator, config: dict[str, Any], says: str) -> None:
    error = await failed(gemini(simulator), config=config)

    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert says in (error.message or "")
    assert simulator.books().served == 0


@pytest.mark.parametrize("field", ["store", "serviceTier"])
async def test_vertex_does_not_know_the_fields_of_gemini(simulator: Simulator, field: str) -> None:
    client = vertex(simulator)
    client._api_client._http_options.extra_body = {field: "standard" if field == "serviceTier" else False}
    error = await failed(client)

    assert f'Unknown name "{field}": Cannot find field.' in (error.message or "")


@pytest.mark.parametrize(
    ("make", "rule", "code", "status", "reason"),
    [
        (gemini, {"status": 500}, 500, "INTERNAL", None),
        (gemini, {"status": 503}, 503, "UNAVAILABLE", None),
        (gemini, {"status": 504}, 504, "DEADLINE_EXCEEDED", None),
        (gemini, {"status": 429}, 429, "RESOURCE_EXHAUSTED", None),
        (gemini, {"reason": Reason.WRONG_KEY}, 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (gemini, {"reason": Reason.EXPIRED_KEY}, 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (gemini, {"status": 403}, 403, "PERMISSION_DENIED", "SERVICE_DISABLED"),
        (gemini, {"status": 404}, 404, "NOT_FOUND", None),
        (gemini, {"reason": Reason.CONTEXT_TOO_LONG}, 400, "INVALID_ARGUMENT", None),
        (vertex, {"reason": Reason.WRONG_KEY}, 401, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (vertex, {"reason": Reason.EXPIRED_KEY}, 401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"),
        (vertex, {"status": 403}, 403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
        (vertex, {"reason": Reason.QUOTA_EXHAUSTED}, 403, "PERMISSION_DENIED", "BILLING_DISABLED"),
        (vertex, {"status": 404}, 404, "NOT_FOUND", None),
        (vertex, {"status": 429}, 429, "RESOURCE_EXHAUSTED", None),
    ],
)
async def test_the_sdk_raises_the_vendors_errors(
    simulator: Simulator, make: Make, rule: dict[str, Any], code: int, status: str, reason: str | None
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, prefix="/gemini" if make is gemini else "/vertex", **rule))
    error = await failed(make(simulator))

    assert isinstance(error, errors.ServerError if code >= 500 else errors.ClientError)
    assert (error.code, error.status) == (code, status)
    reasons = [detail.get("reason") for detail in error.details["error"].get("details", ())]
    assert next((found for found in reasons if found), None) == reason


async def test_the_meter_of_gemini_names_quota_and_wait_and_that_of_vertex_does_not(simulator: Simulator) -> None:
    details = {}
    for make, key in ((gemini, KEY), (vertex, EMAIL)):
        simulator.put_account(Account(key=SecretStr(key), rpm=1))
        client = make(simulator)
        await generate(client)
        error = await failed(client)
        assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
        details[make] = {
            entry["@type"].rpartition(".")[2]: entry for entry in error.details["error"].get("details", ())
        }

    assert details[gemini]["QuotaFailure"]["violations"] == [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]
    assert float(details[gemini]["RetryInfo"]["retryDelay"].removesuffix("s")) == pytest.approx(60, abs=5)
    assert details[vertex] == {}


async def test_a_key_that_nobody_has_is_refused(simulator: Simulator) -> None:
    error = await failed(gemini(simulator, key="AIza-nobody"))

    assert (error.code, error.message) == (400, "API key not valid. Please pass a valid API key.")


ENFORCED: list[tuple[ModelFacts, Facts]] = [
    (facts, (GEMINI_MODELS if facts.provider is ProviderKind.GEMINI else VERTEX_MODELS)[facts.id])
    for facts in load_catalogue()
    if facts.provider in {ProviderKind.GEMINI, ProviderKind.VERTEX}
]


@pytest.mark.parametrize(("facts", "enforced"), ENFORCED, ids=lambda value: getattr(value, "id", ""))
def test_the_catalogue_and_the_simulator_agree(facts: ModelFacts, enforced: Facts) -> None:
    assert (enforced.context, enforced.max_output) == (facts.context, facts.max_output)
    assert enforced.served is None
    assert facts.cache_minimum in {None, enforced.cache_minimum}
    if enforced.levels:
        assert facts.reasoning_value == enforced.levels[0]
    else:
        assert enforced.can_be_off
        assert facts.reasoning_value == 0
