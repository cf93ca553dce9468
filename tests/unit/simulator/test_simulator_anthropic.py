"""Anthropic's own SDK is the judge: it must read the simulator as it reads the vendor."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, TypeVar

import anthropic
import httpx
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo
from anthropic.types.shared import ErrorResponse
from pydantic import BaseModel, SecretStr, TypeAdapter

from workers.embedded.simulator import Account, FaultRule, Injection, KeyState, Reason, Simulator, Usage

KEY = "sk-proj-simulated-0123456789abcdef"
TEXT = "Ada Byron lives in London. She met Tom Kyle."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "entities": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
                "required": ["name", "type"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["entities"],
    "additionalProperties": False,
}
SYSTEM = "Extract the entities. " * 200

Kind = TypeVar("Kind", bound=BaseModel)


@pytest.fixture
async def claude(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    base_url = simulator.base_urls["anthropic"]
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=base_url, max_retries=0) as ready:
        yield ready


@pytest.fixture
async def raw(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Without an SDK that mends what it is given."""
    headers = {"x-api-key": KEY, "anthropic-version": "2026-10-21"}
    async with httpx.AsyncClient(base_url=simulator.base_urls["anthropic"], headers=headers) as ready:
        yield ready


def _request(**more: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 2_000,
        "system": [{"type": "text", "text": SYSTEM}],
        "messages": [{"role": "user", "content": TEXT}],
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
        **more,
    }


def _extras(value: Any, path: str = "") -> Iterator[str]:
    """Fields that the SDK's types do not know, at any depth."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _extras(item, f"{path}[{index}]")


def _strictly(kind: type[Kind], body: Any) -> Kind:
    """A body validated against the SDK's type, with no field missing and none unknown."""
    value = TypeAdapter(kind).validate_python(body)
    assert list(_extras(value)) == []
    return value


async def test_a_message_is_what_the_sdk_types_say(
    claude: anthropic.AsyncAnthropic, raw: httpx.AsyncClient, simulator: Simulator
) -> None:
    message = await claude.messages.create(**_request())
    assert message.stop_reason == "end_turn"
    (block,) = message.content
    assert block.type == "text"
    assert {entity["name"] for entity in json.loads(block.text)["entities"]} >= {"Ada Byron", "Tom Kyle"}
    (entry,) = simulator.books().entries
    assert entry.usage == Usage(input=message.usage.input_tokens, output=message.usage.output_tokens)
    assert entry.tags == {"user_id": "u-1"}
    _strictly(Message, (await raw.post("/v1/messages", json=_request())).json())


async def test_a_marked_system_prompt_is_written_to_the_cache_once_and_then_read(
    claude: anthropic.AsyncAnthropic, simulator: Simulator
) -> None:
    marked = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    first = (await claude.messages.create(**_request(system=marked))).usage
    second = (await claude.messages.create(**_request(system=marked))).usage
    assert first.cache_creation_input_tokens
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_1h_input_tokens == first.cache_creation_input_tokens
    assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    # Input and cache do not overlap.
    assert first.input_tokens == second.input_tokens
    assert simulator.books().billed.cache_write == first.cache_creation_input_tokens


async def test_below_the_models_minimum_nothing_is_cached(claude: anthropic.AsyncAnthropic) -> None:
    marked = [{"type": "text", "text": "Short.", "cache_control": {"type": "ephemeral"}}]
    usage = (await claude.messages.create(**_request(system=marked))).usage
    assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0)


async def test_a_model_that_is_left_to_think_pays_for_it(claude: anthropic.AsyncAnthropic) -> None:
    request = _request()
    del request["thinking"]
    usage = (await claude.messages.create(**request)).usage
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 512
    low = request | {"output_config": request["output_config"] | {"effort": "low"}}
    usage = (await claude.messages.create(**low)).usage
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 128


async def test_a_forced_tool_gets_the_answer_as_its_input(claude: anthropic.AsyncAnthropic) -> None:
    tool = {"name": "save", "input_schema": SCHEMA}
    request = _request(tools=[tool], tool_choice={"type": "tool", "name": "save"})
    del request["output_config"]
    message = await claude.messages.create(**request)
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert block.type == "tool_use"
    assert "entities" in block.input


async def test_tokens_are_counted_free_of_charge(claude: anthropic.AsyncAnthropic, simulator: Simulator) -> None:
    counted = await claude.messages.count_tokens(
        model="claude-haiku-5-5", system="abcd", messages=[{"role": "user", "content": "efgh"}]
    )
    assert counted.input_tokens == 2
    _strictly(MessageTokensCount, counted.model_dump())
    assert simulator.books().served == 0


async def test_models_are_listed_with_what_they_can(claude: anthropic.AsyncAnthropic, raw: httpx.AsyncClient) -> None:
    listed = [model.id async for model in claude.models.list()]
    assert {"claude-haiku-5-5", "claude-haiku-4-5"} <= set(listed)
    model = await claude.models.retrieve("claude-sonnet-5-5")
    assert model.lifecycle == "active"
    assert model.capabilities is not None
    assert not model.capabilities.thinking.types.disabled.supported
    assert model.capabilities.thinking.types.between_tools.supported
    assert _strictly(_Lax, (await raw.get("/v1/models/claude-haiku-5-5")).json()).max_input_tokens == 1_000_000
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("claude-nano")


async def test_the_list_comes_in_pages(claude: anthropic.AsyncAnthropic) -> None:
    everything = [model.id async for model in claude.models.list()]
    first = await claude.models.list(limit=2)

    assert len(first.data) == 2
    assert first.has_more
    assert [model.id async for model in first] == everything


class _Lax(ModelInfo):
    """Capabilities that nothing here looks at are left shallow."""

    capabilities: Any = None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 0.9}, "top_p: Extra inputs are not permitted"),
        ({"retain": False}, "retain: Extra inputs are not permitted"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 128_001}, "maximum allowed number of output tokens"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type.between_tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "thinking.type.enabled"),
        ({"model": "claude-sonnet-5-5"}, "thinking.type.disabled"),
        ({"model": "claude-opus-5-5"}, "thinking.type.disabled"),
        ({"output_config": {"effort": "max"}}, "not supported with thinking turned off"),
        ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "effort"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "additionalProperties"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"metadata": {"user_id": "x" * 257}}, "metadata.user_id"),
        ({"tool_choice": {"type": "tool", "name": "save"}}, "not found"),
        ({"messages": []}, "messages"),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "forever"}}]}, "cache_control.type"),
    ],
)
async def test_what_the_vendor_refuses_is_refused_in_its_way(
    claude: anthropic.AsyncAnthropic, simulator: Simulator, change: dict[str, Any], says: str
) -> None:
    request = _request(**change)
    with pytest.raises(anthropic.BadRequestError) as refused:
        await claude.post("/v1/messages", body=request, cast_to=Message)
    assert says in refused.value.message
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id
    assert simulator.books().served == 0


async def test_a_request_without_a_version_is_refused(raw: httpx.AsyncClient) -> None:
    del raw.headers["anthropic-version"]
    refused = await raw.post("/v1/messages", json=_request())
    assert refused.status_code == 400
    _strictly(ErrorResponse, refused.json())


@pytest.mark.parametrize("headers", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}])
async def test_both_ways_to_send_a_key_are_taken(raw: httpx.AsyncClient, headers: dict[str, str]) -> None:
    del raw.headers["x-api-key"]
    assert (await raw.post("/v1/messages", json=_request(), headers=headers)).status_code == 200
    assert (await raw.post("/v1/messages", json=_request())).status_code == 401
    wrong = {"x-api-key": "sk-ant-wrong"}
    assert (await raw.post("/v1/messages", json=_request(), headers=wrong)).json()["error"] == {
        "type": "authentication_error",
        "message": "invalid x-api-key",
    }


_FAULTS: list[tuple[dict[str, Any], type[anthropic.APIStatusError], str, str | None]] = [
    ({"status": 401}, anthropic.AuthenticationError, "authentication_error", None),
    ({"reason": Reason.EXPIRED_KEY}, anthropic.AuthenticationError, "authentication_error", None),
    ({"status": 402}, anthropic.PaymentRequiredError, "billing_error", None),
    (
        {"status": 403, "code": "organization_on_hold"},
        anthropic.PermissionDeniedError,
        "permission_error",
        "organization_on_hold",
    ),
    ({"status": 404}, anthropic.NotFoundError, "not_found_error", None),
    ({"status": 429, "retry_after": 7}, anthropic.RateLimitError, "rate_limit_error", None),
    (
        {"status": 429, "code": "enforced_spend_limit_reached"},
        anthropic.RateLimitError,
        "rate_limit_error",
        "enforced_spend_limit_reached",
    ),
    ({"reason": Reason.QUOTA_EXHAUSTED}, anthropic.BadRequestError, "invalid_request_error", None),
    ({"reason": Reason.CONTEXT_TOO_LONG}, anthropic.BadRequestError, "invalid_request_error", None),
    ({"status": 500}, anthropic.InternalServerError, "api_error", None),
    ({"status": 504}, anthropic.GatewayTimeoutError, "timeout_error", None),
    ({"status": 529}, anthropic.OverloadedError, "overloaded_error", None),
]


@pytest.mark.parametrize(("fault", "kind", "type_", "code"), _FAULTS)
async def test_an_injected_error_is_the_sdks_own_exception(
    claude: anthropic.AsyncAnthropic,
    raw: httpx.AsyncClient,
    simulator: Simulator,
    fault: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    type_: str,
    code: str | None,
) -> None:
    simulator.add_fault(FaultRule(kind=Injection.STATUS, **fault))
    with pytest.raises(anthropic.APIStatusError) as raised:
        await claude.messages.create(**_request())
    assert isinstance(raised.value, kind)
    assert (raised.value.type, raised.value.error_code) == (type_, code)
    assert raised.value.response.headers.get("retry-after") == (
        str(fault["retry_after"]) if "retry_after" in fault else None
    )
    assert (await raw.post("/v1/messages", json=_request())).json()["error"]["message"]


async def test_limits_are_told_in_headers_with_the_instant_of_their_reset(
    raw: httpx.AsyncClient, account: Account
) -> None:
    response = await raw.post("/v1/messages", json=_request())
    for name, limit in (("requests", account.rpm), ("tokens", account.tpm), ("output-tokens", account.tpm)):
        assert response.headers[f"anthropic-ratelimit-{name}-limit"] == str(limit)
        assert int(response.headers[f"anthropic-ratelimit-{name}-remaining"]) < limit
        assert datetime.fromisoformat(response.headers[f"anthropic-ratelimit-{name}-reset"]).tzinfo is not None


async def test_a_used_up_limit_is_a_429_with_the_wait(
    claude: anthropic.AsyncAnthropic, simulator: Simulator, account: Account
) -> None:
    simulator.put_account(account.model_copy(update={"rpm": 1}))
    await claude.messages.create(**_request())
    with pytest.raises(anthropic.RateLimitError, match="rate limit of 1 requests per minute") as limited:
        await claude.messages.create(**_request())
    assert limited.value.response.headers["retry-after"] == "60"


@pytest.mark.parametrize("state", [KeyState.EXPIRED, KeyState.REVOKED])
async def test_a_key_that_is_no_longer_honoured_is_refused(
    claude: anthropic.AsyncAnthropic, simulator: Simulator, account: Account, state: KeyState
) -> None:
    simulator.put_account(account.model_copy(update={"state": state}))
    with pytest.raises(anthropic.AuthenticationError):
        await claude.messages.create(**_request())


async def test_a_model_that_the_key_may_not_use_does_not_exist_for_it(
    claude: anthropic.AsyncAnthropic, simulator: Simulator, account: Account
) -> None:
    simulator.put_account(account.model_copy(update={"models": frozenset({"claude-haiku-4-5"})}))
    with pytest.raises(anthropic.NotFoundError, match="model: claude-haiku-5-5"):
        await claude.messages.create(**_request())
    assert [model.id async for model in claude.models.list()] == ["claude-haiku-4-5"]


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        (Injection.REFUSAL, "refusal"),
        (Injection.TRUNCATED, "max_tokens"),
        (Injection.EMPTY, "end_turn"),
        (Injection.MALFORMED, "end_turn"),
    ],
)
async def test_a_spoilt_answer_is_still_a_message_and_billed(
    claude: anthropic.AsyncAnthropic, raw: httpx.AsyncClient, simulator: Simulator, kind: Injection, stop: str
) -> None:
    simulator.add_fault(FaultRule(kind=kind))
    message = await claude.messages.create(**_request())
    assert message.stop_reason == stop
    _strictly(Message, (await raw.post("/v1/messages", json=_request())).json())
    assert simulator.books().served == 2


async def test_an_unknown_path_is_the_vendors_404(raw: httpx.AsyncClient) -> None:
    lost = await raw.get("/v1/nothing")
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "not_found_error")


async def test_the_account_of_another_key_is_another_one(simulator: Simulator) -> None:
    simulator.put_account(Account(key=SecretStr("sk-ant-second")))
    base_url = simulator.base_urls["anthropic"]
    async with anthropic.AsyncAnthropic(api_key="sk-ant-second", base_url=base_url, max_retries=0) as second:
        await second.messages.create(**_request())
    assert len({total.key for total in simulator.books().totals}) == 1
