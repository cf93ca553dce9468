import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from config.catalogue import ModelFacts, load_catalogue
from tasks.contract import ProviderKind, Tier, TokenUsage
from tests.providers import CANARY, SCHEMA, answer, make_call, unknown_keys
from workers.engine.outcome import Action, decide
from workers.providers.azure_openai import AzureOpenAIProvider
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest

_ADAPTER: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
_LISTED = [facts for facts in load_catalogue() if facts.provider is ProviderKind.AZURE_OPENAI]
_RESOURCE = "https://acme.openai.azure.com/"
_TAGS = {"project": "acme", "provider": "azure_openai", "attempt": "1.0.1"}

#: What the vendor's table of efforts says, model by model; written down here a second time, on purpose.
_EFFORTS = {
    "gpt-6-luna": {"effort": "none"},
    "gpt-5.6-luna": {"effort": "none"},
    "gpt-5.4-nano": {"effort": "none"},
    "gpt-5.4-mini": {"effort": "none"},
    "gpt-5-mini": {"effort": "minimal"},
    "gpt-5-nano": {"effort": "minimal"},
    "gpt-4.1-mini": None,
    "gpt-4.1-nano": None,
    "gpt-4o-mini": None,
}


def _call(model: str = "gpt-6-luna", **changes: Any) -> Call:
    given: dict[str, Any] = {"model": model, "base_url": _RESOURCE, "tags": _TAGS} | changes
    return make_call(provider=ProviderKind.AZURE_OPENAI, **given)


async def _sent(call: Call) -> WireRequest:
    wire = await AzureOpenAIProvider().prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


def _fault(body: object, *, status: int = 200, **headers: str) -> Fault:
    found = AzureOpenAIProvider().read(_call(), answer(body, status=status, **headers))
    assert isinstance(found, Fault)
    return found


def _response(**changes: Any) -> dict[str, Any]:
    message = {"type": "message", "content": [{"type": "output_text", "text": '{"facts":[]}'}]}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    return {
        "model": "gpt-6-luna-2026-09-01",
        "status": "completed",
        "output": [{"type": "reasoning", "summary": []}, message],
        "usage": usage,
        "content_filters": [],
    } | changes


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_each_listed_model_gets_a_request_that_the_vendors_types_accept(facts: ModelFacts) -> None:
    for tier in (None, Tier.FLEX):
        body = json.loads((await _sent(_call(facts.id, tier=tier))).content)
        _ADAPTER.validate_python(body, strict=True)
        assert unknown_keys(body, ResponseCreateParamsNonStreaming) == []


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_what_the_catalogue_says_is_what_goes_over_the_wire(facts: ModelFacts) -> None:
    body = json.loads((await _sent(_call(facts.id))).content)
    assert body.get("reasoning") == _EFFORTS[facts.id]
    assert body.get("prompt_cache_options") == ({"mode": "explicit"} if facts.explicit_cache else None)
    assert body["store"] is False
    assert body["model"] == facts.id
    assert not {"temperature", "top_p", "user", "background"} & body.keys()


def test_every_listed_model_has_its_effort_written_down() -> None:
    assert {facts.id for facts in _LISTED} == _EFFORTS.keys()


async def test_the_whole_request() -> None:
    wire = await _sent(_call(tags={"project": "acme"}))
    assert (wire.method, wire.url) == ("POST", "https://acme.openai.azure.com/openai/v1/responses")
    assert wire.headers == {"api-key": CANARY, "content-type": "application/json"}
    assert json.loads(wire.content) == {
        "model": "gpt-6-luna",
        "store": False,
        "service_tier": "default",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "Extract the facts."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Ada lives in Paris."}]},
        ],
        "text": {"format": {"type": "json_schema", "name": "extraction", "strict": True, "schema": SCHEMA}},
        "max_output_tokens": 1_200,
        "prompt_cache_key": "extract-v1",
        "reasoning": {"effort": "none"},
        "prompt_cache_options": {"mode": "explicit"},
        "metadata": {"project": "acme"},
        "safety_identifier": hashlib.sha256(b"acme").hexdigest(),
    }


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"base_url": "https://acme.openai.azure.com"}, "https://acme.openai.azure.com/openai/v1/responses"),
        ({"base_url": "https://acme.openai.azure.com/openai/v1/"}, "https://acme.openai.azure.com/openai/v1/responses"),
        ({"base_url": "http://127.0.0.1:9/azure"}, "http://127.0.0.1:9/azure/openai/v1/responses"),
        ({"api_version": "preview"}, "https://acme.openai.azure.com/openai/v1/responses?api-version=preview"),
        ({"api_version": "v1&x=#"}, "https://acme.openai.azure.com/openai/v1/responses?api-version=v1%26x%3D%23"),
    ],
)
async def test_the_v1_path_of_the_resource_is_called(settings: Mapping[str, str], url: str) -> None:
    assert (await _sent(_call(**settings))).url == url


async def test_an_unverified_deployment_gets_no_field_that_its_model_might_refuse() -> None:
    body = json.loads((await _sent(_call("my-gpt", unverified=True))).content)
    assert not {"reasoning", "prompt_cache_options"} & body.keys()


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "umläut"])
async def test_a_key_that_no_header_takes_is_refused_without_quoting_it(secret: str) -> None:
    fault = await AzureOpenAIProvider().prepare(_call(secret=secret))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert not secret or secret not in repr(fault)


def test_an_answer() -> None:
    response = answer(_response(), apim_request_id="apim-1", x_request_id="other")
    assert AzureOpenAIProvider().read(_call(), response) == Reply(
        text='{"facts":[]}',
        usage=TokenUsage(input=50, cached_input=40, cache_write=10, output=20, reasoning=5),
        served_model="gpt-6-luna-2026-09-01",
        request_id="apim-1",
    )


def _error(code: object, message: str = "words", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


_FILTERED = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
_INCOMPLETE = {"status": "incomplete", "output": []}


@pytest.mark.parametrize(
    ("status", "body", "kind", "action"),
    [
        (
            401,
            _error("401", "Access denied due to invalid subscription key or wrong API endpoint."),
            FaultKind.CREDENTIAL_REJECTED,
            Action.REFRESH_CREDENTIAL,
        ),
        (403, _error("AccessDenied"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
        (403, _error("PermissionDenied"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
        (
            403,
            {"statusCode": 403, "message": "Token quota is exceeded. Try again in 3 days."},
            FaultKind.QUOTA_EXHAUSTED,
            Action.FALL_BACK,
        ),
        (
            403,
            {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 5 days."},
            FaultKind.QUOTA_EXHAUSTED,
            Action.FALL_BACK,
        ),
        (404, _error("DeploymentNotFound"), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
        (404, _error("404", "Resource not found"), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
        (404, b"<html>no</html>", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
        (400, _error("BadRequest", "API version not supported"), FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
        (
            400,
            _error("content_filter", innererror=_FILTERED, param="prompt", status=400),
            FaultKind.REFUSED,
            Action.FALL_BACK,
        ),
        (400, _error("context_length_exceeded"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
        (400, _error("invalid_request_error"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
        (400, _error(400), FaultKind.BAD_REQUEST, Action.FALL_BACK),
        (408, _error("Timeout"), FaultKind.UNAVAILABLE, Action.RETRY),
        (429, _error("429"), FaultKind.RATE_LIMITED, Action.RETRY),
        (429, _error("too_many_requests"), FaultKind.RATE_LIMITED, Action.RETRY),
        (429, _error("RateLimitReached"), FaultKind.RATE_LIMITED, Action.RETRY),
        (429, _error("NoCapacity"), FaultKind.RATE_LIMITED, Action.RETRY),
        (500, _error("InternalServerError"), FaultKind.UNAVAILABLE, Action.RETRY),
        (502, b"<html>bad gateway</html>", FaultKind.UNAVAILABLE, Action.RETRY),
        (503, _error("ServiceUnavailable"), FaultKind.UNAVAILABLE, Action.RETRY),
        (504, _error("GatewayTimeout"), FaultKind.UNAVAILABLE, Action.RETRY),
        (
            200,
            _response(**_INCOMPLETE, incomplete_details={"reason": "content_filter"}),
            FaultKind.REFUSED,
            Action.FALL_BACK,
        ),
        (
            200,
            _response(**_INCOMPLETE, incomplete_details={"reason": "max_output_tokens"}),
            FaultKind.TRUNCATED,
            Action.RETRY_LARGER,
        ),
        (200, _response(output=[]), FaultKind.EMPTY, Action.RETRY_REMINDED),
        (200, b"<html>login</html>", FaultKind.MALFORMED, Action.RETRY_REMINDED),
    ],
)
def test_each_error_has_its_fault_and_action(status: int, body: Any, kind: FaultKind, action: Action) -> None:
    found = _fault(body, status=status)
    assert (found.kind, decide(found).action, found.status) == (kind, action, status)
    assert "words" not in repr(found)


@pytest.mark.parametrize("body", [_error("DeploymentNotFound"), _error("404", "Resource not found")])
def test_a_missing_deployment_is_explained(body: object) -> None:
    found = _fault(body, status=404)
    assert "deployment's name must equal the model's id (gpt-4.1-mini, not my-gpt-deployment)" in found.message
    assert "resource that base_url names" in found.message


def test_a_refused_key_may_be_a_key_of_another_resource() -> None:
    assert "belongs to another resource" in _fault(_error("401"), status=401).message


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x_ratelimit_reset_tokens": "30", "x_ratelimit_remaining_tokens": "0"}, 30),
        ({"retry_after": "7", "x_ratelimit_reset_tokens": "30"}, 7),
        ({"retry_after_ms": "1500", "retry_after": "7"}, 1.5),
        # The Responses route has been seen to send nothing that means anything.
        ({"x_ratelimit_remaining_tokens": "-1", "x_ratelimit_limit_tokens": "-1"}, None),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "0"}, None),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "-1"}, None),
        ({"retry_after": "0"}, None),
    ],
)
def test_waits_are_whole_seconds_and_nonsense_is_none(headers: dict[str, str], wait: float | None) -> None:
    assert _fault(_error("429"), status=429, **headers).retry_after == wait


def test_a_server_that_echoes_the_key_does_not_get_it_into_a_fault() -> None:
    found = _fault(_error(CANARY, CANARY, type=CANARY, param=CANARY), status=401, apim_request_id=CANARY)
    assert found.kind is FaultKind.CREDENTIAL_REJECTED
    assert CANARY not in repr(found)


async def test_the_key_is_in_its_header_only() -> None:
    wire = await _sent(_call())
    assert all(CANARY not in shown for shown in (repr(wire), wire.url, wire.content.decode()))
