import json
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from tasks.contract import ProviderKind, TokenUsage
from tests.providers import CANARY, SCHEMA, answer, make_call, unknown_keys
from workers.engine.outcome import Action, decide
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.openai_compatible import OpenAICompatibleProvider

_ADAPTER: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)


def _call(*, secret: str | None = None, base_url: str = "http://127.0.0.1:8000/v1") -> Call:
    return make_call(
        provider=ProviderKind.OPENAI_COMPATIBLE,
        model="qwen3-8b",
        secret=secret,
        base_url=base_url,
        tags={"project": "acme"},
    )


async def _sent(call: Call) -> WireRequest:
    wire = await OpenAICompatibleProvider().prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


async def test_the_whole_request_holds_only_what_all_servers_know() -> None:
    wire = await _sent(_call(base_url="http://127.0.0.1:8000/v1/"))
    assert (wire.method, wire.url) == ("POST", "http://127.0.0.1:8000/v1/chat/completions")
    assert wire.headers == {"content-type": "application/json"}
    body = json.loads(wire.content)
    assert body == {
        "model": "qwen3-8b",
        "messages": [
            {"role": "system", "content": "Extract the facts."},
            {"role": "user", "content": "Ada lives in Paris."},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "extraction", "strict": True, "schema": SCHEMA},
        },
        "max_tokens": 1_200,
    }
    _ADAPTER.validate_python(body, strict=True)
    assert unknown_keys(body, CompletionCreateParamsNonStreaming) == []


async def test_a_key_is_sent_only_where_one_is_configured() -> None:
    assert (await _sent(_call(secret=CANARY))).headers["authorization"] == f"Bearer {CANARY}"
    assert "authorization" not in (await _sent(_call())).headers


async def test_a_damaged_key_is_refused_rather_than_left_out() -> None:
    fault = await OpenAICompatibleProvider().prepare(_call(secret="two words"))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED


def _read(response: WireResponse) -> Reply | Fault:
    return OpenAICompatibleProvider().read(_call(), response)


def _completion(content: object, *, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "qwen3-8b-q4",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def test_the_answer_of_the_first_choice_is_taken() -> None:
    assert _read(answer(_completion('{"facts": []}'), x_request_id="r-1")) == Reply(
        text='{"facts": []}',
        usage=TokenUsage(input=100, output=20),
        served_model="qwen3-8b-q4",
        request_id="r-1",
    )


def test_a_server_that_counts_nothing_is_taken_all_the_same() -> None:
    body = _completion("{}")
    del body["usage"]
    assert _read(answer(body)) == Reply(text="{}", usage=TokenUsage(), served_model="qwen3-8b-q4")


def test_details_of_usage_are_counted_once() -> None:
    body = _completion("{}") | {
        "usage": {
            "prompt_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens": 20,
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
    }
    assert _read(answer(body)).usage == TokenUsage(input=30, cached_input=60, cache_write=10, output=20, reasoning=5)


_VLLM_LONG = {
    "object": "error",
    "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
_LLAMA_LONG = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_ctx": 256}}

_ANSWERS: list[tuple[int, object, FaultKind, Action]] = [
    (200, _completion("I can't", refusal="I can't."), FaultKind.REFUSED, Action.FALL_BACK),
    (200, _completion("", finish="content_filter"), FaultKind.REFUSED, Action.FALL_BACK),
    (200, _completion('{"facts', finish="length"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (200, _completion(None, finish="length"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (200, _completion(None), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (200, _completion(" "), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (200, _completion(["parts"]), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (200, {"choices": [{}]}, FaultKind.EMPTY, Action.RETRY_REMINDED),
    (200, {"choices": []}, FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (200, {"choices": "text"}, FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (200, b"<html>gateway</html>", FaultKind.MALFORMED, Action.RETRY_REMINDED),
    # Some servers send their errors with status 200.
    (200, _LLAMA_LONG, FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, _LLAMA_LONG, FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, _VLLM_LONG, FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, {"error": _VLLM_LONG}, FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (
        500,
        {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}},
        FaultKind.CONTEXT_TOO_LONG,
        Action.FALL_BACK,
    ),
    (400, {"error": "request exceeds the available context size"}, FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (
        400,
        {"error": {"message": "bad grammar", "type": "invalid_request_error"}},
        FaultKind.BAD_REQUEST,
        Action.FALL_BACK,
    ),
    (422, {"detail": [{"msg": "extra field"}]}, FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (
        400,
        {"error": {"message": "expired", "type": "expired_key", "param": "sk-the-whole-key", "code": "400"}},
        FaultKind.CREDENTIAL_EXPIRED,
        Action.REFRESH_CREDENTIAL,
    ),
    (401, {"error": "Unauthorized"}, FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (
        404,
        {"error": {"message": "no model", "type": "NotFoundError", "code": 404}},
        FaultKind.MODEL_NOT_FOUND,
        Action.FALL_BACK,
    ),
    (
        404,
        {"error": {"message": "not found, try pulling it", "code": None}},
        FaultKind.MODEL_NOT_FOUND,
        Action.FALL_BACK,
    ),
    (404, {"detail": "Not Found"}, FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (404, b"404 page not found", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        FaultKind.UNAVAILABLE,
        Action.RETRY,
    ),
    (429, {"message": "Rate limit is exceeded", "statusCode": 429}, FaultKind.RATE_LIMITED, Action.RETRY),
]


@pytest.mark.parametrize(("status", "body", "kind", "action"), _ANSWERS)
def test_an_answer_leads_to_its_action(status: int, body: object, kind: FaultKind, action: Action) -> None:
    fault = _read(answer(body, status=status))
    assert isinstance(fault, Fault)
    assert fault.kind is kind
    assert decide(fault).action is action


def test_truncated_and_refused_answers_keep_their_usage() -> None:
    fault = _read(answer(_completion("{", finish="length")))
    assert fault.usage == TokenUsage(input=100, output=20)
    assert fault.served_model == "qwen3-8b-q4"


def test_the_rows_of_this_provider_alone_are_decisive() -> None:
    provider = OpenAICompatibleProvider()
    responses = [answer(body, status=status) for status, body, *_ in _ANSWERS]
    expected = [provider.read(_call(), response) for response in responses]
    for rule in OpenAICompatibleProvider.rules[:5]:
        provider.rules = [other for other in OpenAICompatibleProvider.rules if other is not rule]
        assert [provider.read(_call(), response) for response in responses] != expected, rule
