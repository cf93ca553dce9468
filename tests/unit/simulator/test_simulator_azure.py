"""OpenAI's own clients are the judge, Azure's among them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI
from pydantic import SecretStr

from config.catalogue import ModelFacts, load_catalogue
from tasks.contract import ProviderKind
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Reason, Simulator
from workers.embedded.simulator.wire.azure import DEPLOYMENTS

KEY = "azure-simulated-0123456789abcdef"
ASK: dict[str, Any] = {
    "model": "gpt-6-luna",
    "instructions": "Extract.",
    "input": "Ada lives in Paris.",
    "reasoning": {"effort": "none"},
    "store": False,
    "text": {
        "format": {
            "type": "json_schema",
            "name": "extraction",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"facts": {"type": "array", "items": {"type": "string"}}},
                "required": ["facts"],
                "additionalProperties": False,
            },
        }
    },
}

Make = Callable[..., AsyncOpenAI]


def plain(simulator: Simulator, *, key: str = KEY, version: str | None = None) -> AsyncOpenAI:
    """As Azure's docs show it for v1: OpenAI's client, which sends the key as a bearer token."""
    query = {"api-version": version} if version else None
    base_url = f"{simulator.base_urls['azure']}/openai/v1/"
    return AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, default_query=query)


def azure(simulator: Simulator, *, key: str = KEY, version: str = "preview") -> AsyncOpenAI:
    """Azure's client, which sends `api-key` and always an API version."""
    base_url = f"{simulator.base_urls['azure']}/openai/v1/"
    return AsyncAzureOpenAI(api_key=key, base_url=base_url, api_version=version, max_retries=0)


both = pytest.mark.parametrize("make", [plain, azure])


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    options = Options(accounts=(Account(key=SecretStr(KEY), rpm=600),), permissive=False, latency=Latency.fixed(0))
    async with Simulator(options) as running:
        yield running


@both
async def test_an_answer_is_read_by_both_clients(simulator: Simulator, make: Make) -> None:
    async with make(simulator) as client:
        raw = await client.responses.with_raw_response.create(**ASK)
    response = raw.parse()

    assert response.output_text == '{"facts":["Ada lives in Paris."]}'
    assert response.usage is not None
    assert response.usage.total_tokens == simulator.books().billed.total
    assert raw.headers["apim-request-id"] == simulator.books().entries[-1].request_id


async def test_token_limits_in_headers_mean_nothing_on_this_path(simulator: Simulator) -> None:
    async with azure(simulator) as client:
        raw = await client.responses.with_raw_response.create(**ASK)

    limits = {name: value for name, value in raw.headers.items() if name.startswith("x-ratelimit-")}
    assert limits == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "0",
    }


async def test_models_are_listed(simulator: Simulator) -> None:
    async with azure(simulator) as client:
        assert {model.id async for model in client.models.list()} == set(DEPLOYMENTS)


@both
@pytest.mark.parametrize(
    ("rule", "error", "status", "code"),
    [
        ({"reason": Reason.WRONG_KEY}, openai.AuthenticationError, 401, "401"),
        ({"status": 403}, openai.PermissionDeniedError, 403, "AccessDenied"),
        ({"reason": Reason.QUOTA_EXHAUSTED}, openai.PermissionDeniedError, 403, "QuotaExceeded"),
        ({"status": 404}, openai.NotFoundError, 404, "DeploymentNotFound"),
        ({"status": 400}, openai.BadRequestError, 400, "BadRequest"),
        ({"status": 400, "code": "content_filter"}, openai.BadRequestError, 400, "content_filter"),
        ({"status": 429}, openai.RateLimitError, 429, "too_many_requests"),
        ({"status": 500}, openai.InternalServerError, 500, "InternalServerError"),
        ({"status": 503}, openai.InternalServerError, 503, "ServiceUnavailable"),
    ],
)
async def test_the_clients_raise_the_vendors_errors(
    simulator: Simulator, make: Make, rule: dict[str, Any], error: type[openai.APIStatusError], status: int, code: str
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, **rule))
    async with make(simulator) as client:
        with pytest.raises(error) as raised:
            await client.responses.create(**ASK)

    assert (raised.value.status_code, raised.value.code) == (status, code)


@both
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "my-gpt-deployment"}, "deployment for this resource does not exist"),
        ({"service_tier": "fast"}, "Invalid value: 'fast'"),
        ({"prompt_cache_options": {"mode": "explicit", "ttl": "12h"}}, "Invalid value: '12h'"),
        ({"reasoning": {"effort": "minimal"}}, "'minimal' is not supported"),
    ],
)
async def test_what_azure_refuses_is_refused(
    simulator: Simulator, make: Make, changes: dict[str, Any], says: str
) -> None:
    async with make(simulator) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.responses.create(**ASK | changes)

    assert says in raised.value.message


@both
async def test_a_key_of_another_resource_and_a_dated_version_are_refused(simulator: Simulator, make: Make) -> None:
    async with make(simulator, key="another") as client:
        with pytest.raises(openai.AuthenticationError, match="wrong API endpoint"):
            await client.responses.create(**ASK)
    async with make(simulator, version="2024-10-21") as client:
        with pytest.raises(openai.BadRequestError, match="API version not supported"):
            await client.responses.create(**ASK)


async def test_the_target_uri_of_a_deployment_is_not_there(simulator: Simulator) -> None:
    path = "/openai/deployments/gpt-6-luna/chat/completions?api-version=2024-10-21"
    async with httpx.AsyncClient() as http:
        response = await http.post(f"{simulator.base_urls['azure']}{path}", headers={"api-key": KEY}, json={})

    assert (response.status_code, response.json()["error"]["message"]) == (404, "Resource not found")


@pytest.mark.parametrize(
    "facts",
    [facts for facts in load_catalogue() if facts.provider is ProviderKind.AZURE_OPENAI],
    ids=lambda facts: facts.id,
)
def test_the_catalogue_and_the_simulator_agree(facts: ModelFacts) -> None:
    enforced = DEPLOYMENTS[facts.id]

    assert (enforced.context, enforced.max_output) == (facts.context, facts.max_output)
    assert enforced.counts_writes == facts.explicit_cache
    assert enforced.ends == (facts.ends.isoformat() if facts.ends else None)
    assert facts.reasoning_value == (enforced.efforts[0] if enforced.reasons else None)
