"""Raw responses of Anthropic → fault → action, row by row."""

from typing import Any

import pytest

from tasks.contract import ProviderKind, TokenUsage
from tests.providers import CANARY, answer, make_call
from workers.engine.outcome import Action, decide
from workers.providers.anthropic import AnthropicProvider
from workers.providers.base import Call, Fault, FaultKind, Reply, WireResponse
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES

_USAGE = {
    "input_tokens": 464,
    "cache_read_input_tokens": 1_024,
    "cache_creation_input_tokens": 512,
    "cache_creation": {"ephemeral_5m_input_tokens": 512, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 400,
    "output_tokens_details": {"thinking_tokens": 30},
    "service_tier": "standard",
}
_COUNTED = TokenUsage(input=464, cached_input=1_024, cache_write=512, output=400, reasoning=30)

_EPISODE_TEXT = "Ada lives in Paris"


def _call() -> Call:
    return make_call(provider=ProviderKind.ANTHROPIC, model="claude-haiku-5-5")


def _text(text: object) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _message(*content: object, stop: object = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": list(content),
        "stop_reason": stop,
        "usage": _USAGE,
        **more,
    }


def _error(kind: str, code: str | None = None, message: str = f"No: {_EPISODE_TEXT}.") -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def _read(response: WireResponse) -> Reply | Fault:
    return AnthropicProvider().read(_call(), response)


def _fault(response: WireResponse) -> Fault:
    fault = _read(response)
    assert isinstance(fault, Fault)
    return fault


def test_text_blocks_are_joined_and_thoughts_are_left_out() -> None:
    body = _message(
        {"type": "thinking", "thinking": "hm", "signature": "s", "text": "never"},
        _text('{"facts":'),
        {"type": "redacted_thinking", "data": "x"},
        _text(" []}"),
    )
    assert _read(answer(body, request_id="req_1")) == Reply(
        text='{"facts": []}', usage=_COUNTED, served_model="claude-haiku-5-5", request_id="req_1"
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, TokenUsage()),
        ([], TokenUsage()),
        ({"input_tokens": 5, "output_tokens": 7}, TokenUsage(input=5, output=7)),
        (
            {"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens_details": None, "output_tokens": 7},
            TokenUsage(input=5, output=7),
        ),
        ({"input_tokens": -5, "output_tokens": "7", "cache_creation_input_tokens": 10**12}, TokenUsage()),
        ({"input_tokens": True, "output_tokens": 1.5}, TokenUsage()),
    ],
)
def test_the_vendors_counts_exclude_the_cache_and_nonsense_counts_nothing(usage: object, expected: TokenUsage) -> None:
    reply = _read(answer(_message(_text("{}"), usage=usage)))
    assert reply.usage == expected


_ANSWERS_200: list[tuple[object, FaultKind, Action]] = [
    (_message(stop="refusal", stop_details={"type": "refusal"}), FaultKind.REFUSED, Action.FALL_BACK),
    (_message(_text('{"facts'), stop="refusal"), FaultKind.REFUSED, Action.FALL_BACK),
    (_message(_text('{"facts'), stop="max_tokens"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (_message(stop="max_tokens"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (_message(_text("{"), stop="model_context_window_exceeded"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (_message(), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message(_text(" \n")), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message({"type": "thinking", "thinking": "hm"}), FaultKind.EMPTY, Action.RETRY_REMINDED),
    # Nothing that was asked for: no tools, no stop sequences, no long turns.
    (_message(_text("{}"), stop="tool_use"), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(_text("{}"), stop="pause_turn"), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(_text("{}"), stop=None), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(_text("{}"), stop=["end_turn"]), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    ({"content": "text", "stop_reason": "end_turn"}, FaultKind.EMPTY, Action.RETRY_REMINDED),
    ({}, FaultKind.MALFORMED, Action.RETRY_REMINDED),
    ([], FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (b"", FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (b"<html>gateway</html>", FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (b"\xff\xfe", FaultKind.MALFORMED, Action.RETRY_REMINDED),
]


@pytest.mark.parametrize(("body", "kind", "action"), _ANSWERS_200)
def test_an_answer_that_is_not_usable_leads_to_its_action(body: object, kind: FaultKind, action: Action) -> None:
    fault = _fault(answer(body))
    assert fault.kind is kind
    assert decide(fault).action is action


def test_refused_and_truncated_answers_are_billed() -> None:
    for stop in ("refusal", "max_tokens", "model_context_window_exceeded"):
        fault = _fault(answer(_message(_text("{"), stop=stop), request_id="req_1"))
        assert (fault.usage, fault.served_model, fault.request_id) == (_COUNTED, "claude-haiku-5-5", "req_1")
        assert fault.code == stop


_ERRORS: list[tuple[int, object, FaultKind, Action]] = [
    (400, _error("invalid_request_error"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (
        400,
        _error("invalid_request_error", message="prompt is too long: 1000001 tokens > 1000000 maximum"),
        FaultKind.CONTEXT_TOO_LONG,
        Action.FALL_BACK,
    ),
    (
        400,
        _error("invalid_request_error", message="Your credit balance is too low to access the Anthropic API."),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (401, _error("authentication_error"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (402, _error("billing_error"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (403, _error("permission_error"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (403, _error("permission_error", "organization_on_hold"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (
        403,
        _error("permission_error", "linked_organization_billing_unavailable"),
        FaultKind.QUOTA_EXHAUSTED,
        Action.FALL_BACK,
    ),
    (404, _error("not_found_error", message="model: claude-nano"), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (404, b"<html>nginx</html>", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (405, b"", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (307, b"", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (408, b"", FaultKind.UNAVAILABLE, Action.RETRY),
    (409, _error("conflict_error"), FaultKind.UNAVAILABLE, Action.RETRY),
    (413, _error("request_too_large"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (418, _error("invalid_request_error"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (429, _error("rate_limit_error"), FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _error("rate_limit_error", "ramp_limit_exceeded"), FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _error("rate_limit_error", "a_code_of_next_year"), FaultKind.RATE_LIMITED, Action.RETRY),
    *(
        (429, _error("rate_limit_error", code), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK)
        for code in (
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "linked_organization_spend_limit_reached",
        )
    ),
    (500, _error("api_error"), FaultKind.UNAVAILABLE, Action.RETRY),
    (500, b"<html>502</html>", FaultKind.UNAVAILABLE, Action.RETRY),
    (503, _error("overloaded_error"), FaultKind.OVERLOADED, Action.FALL_BACK),
    (504, _error("timeout_error"), FaultKind.UNAVAILABLE, Action.RETRY),
    (520, b"<html>Cloudflare</html>", FaultKind.UNAVAILABLE, Action.RETRY),
    (529, _error("overloaded_error"), FaultKind.OVERLOADED, Action.FALL_BACK),
    (529, b"", FaultKind.OVERLOADED, Action.FALL_BACK),
    (204, b"", FaultKind.MALFORMED, Action.RETRY_REMINDED),
]


@pytest.mark.parametrize(("status", "body", "kind", "action"), _ERRORS)
def test_an_error_leads_to_its_action(status: int, body: object, kind: FaultKind, action: Action) -> None:
    fault = _fault(answer(body, status=status, request_id="req_1"))
    assert fault.kind is kind
    assert decide(fault).action is action
    assert (fault.status, fault.request_id, fault.usage) == (status, "req_1", TokenUsage())
    assert _EPISODE_TEXT not in repr(fault)


def test_each_row_of_the_table_is_decisive_for_one_of_these_answers() -> None:
    provider = AnthropicProvider()
    responses = [answer(body) for body, *_ in _ANSWERS_200]
    responses += [answer(body, status=status) for status, body, *_ in _ERRORS]
    expected = [provider.read(_call(), response) for response in responses]
    for rule in AnthropicProvider.rules:
        if rule in HTTP_RULES:
            continue
        provider.rules = [other for other in AnthropicProvider.rules if other is not rule]
        assert [provider.read(_call(), response) for response in responses] != expected, rule


@pytest.mark.parametrize("code", sorted({code for rule in AnthropicProvider.rules for code in rule.codes}))
def test_every_code_of_the_table_is_met_by_one_of_these_answers(code: str) -> None:
    seen: set[object] = {EMPTY, FOREIGN}
    seen |= {body.get("stop_reason") for body, *_ in _ANSWERS_200 if isinstance(body, dict) and _hashable(body)}
    for _, body, *_ in _ERRORS:
        if isinstance(body, dict):
            seen |= {body["error"]["type"], body["error"].get("details", {}).get("error_code")}
    assert code in seen


def _hashable(body: dict[str, Any]) -> bool:
    return isinstance(body.get("stop_reason"), str)


def test_the_most_specific_code_is_told_and_never_the_vendors_prose() -> None:
    fault = _fault(answer(_error("rate_limit_error", "ramp_limit_exceeded"), status=429))
    assert fault.message == "anthropic answered 429 (ramp_limit_exceeded): the rate limit is used up."
    plain = _fault(answer(_error("invalid_request_error"), status=400))
    assert plain.code == "invalid_request_error"


def test_the_vendors_wait_is_read_from_both_of_its_headers() -> None:
    limited = _error("rate_limit_error")
    assert _fault(answer(limited, status=429, retry_after="7")).retry_after == 7
    reset = {"anthropic_ratelimit_output_tokens_remaining": "0"}
    reset["anthropic_ratelimit_output_tokens_reset"] = "2026-11-23T12:00:41Z"
    assert _fault(answer(limited, status=429, **reset)).retry_after == 41
    assert _fault(answer(_error("api_error"), status=500, **reset)).retry_after is None


@pytest.mark.parametrize("piece", [CANARY, CANARY[:20], f"key:{CANARY}", CANARY[4:]])
def test_a_server_that_echoes_the_key_gets_it_into_nothing(piece: str) -> None:
    fault = _fault(answer(_error(piece, piece, piece), status=401, request_id=piece))
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert piece not in repr(fault)
    reply = _read(answer(_message(_text("{}"), model=piece), request_id=piece))
    assert piece not in repr(reply)
