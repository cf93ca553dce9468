"""Raw responses of OpenAI → fault → action, row by row."""

from typing import Any

import pytest

from tasks.contract import TokenUsage
from tests.providers import answer, make_call
from workers.engine.outcome import Action, decide
from workers.providers.base import Fault, FaultKind, Reply, WireResponse
from workers.providers.faults import EMPTY, FOREIGN
from workers.providers.openai import OpenAIProvider

_USAGE = {
    "input_tokens": 2_000,
    "input_tokens_details": {"cached_tokens": 1_024, "cache_write_tokens": 512},
    "output_tokens": 400,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 2_400,
}
_COUNTED = TokenUsage(input=464, cached_input=1_024, cache_write=512, output=400, reasoning=30)

_EPISODE_TEXT = "Ada lives in Paris"


def _message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": "completed", "content": list(parts)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _response(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-6-luna-2026-09-10",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": list(output),
        "usage": _USAGE,
        **more,
    }


def _error(code: str | None = None, kind: str = "invalid_request_error", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": f"No: {_EPISODE_TEXT}.", "type": kind, "param": param, "code": code}}


def _read(response: WireResponse) -> Reply | Fault:
    return OpenAIProvider().read(make_call(), response)


def _fault(response: WireResponse) -> Fault:
    fault = _read(response)
    assert isinstance(fault, Fault)
    return fault


def test_the_text_parts_of_all_messages_are_joined_and_reasoning_is_left_out() -> None:
    body = _response(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        _message(_text('{"facts":'), _text(" []}")),
    )
    assert _read(answer(body, x_request_id="req_1")) == Reply(
        text='{"facts": []}', usage=_COUNTED, served_model="gpt-6-luna-2026-09-10", request_id="req_1"
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, TokenUsage()),
        ({"input_tokens": 5, "output_tokens": 7}, TokenUsage(input=5, output=7)),
        ({"input_tokens": 5, "input_tokens_details": None, "output_tokens": 7}, TokenUsage(input=5, output=7)),
        (
            {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 0},
            TokenUsage(cached_input=9),
        ),
        ({"input_tokens": -5, "output_tokens": "7"}, TokenUsage()),
        ({"input_tokens": True, "output_tokens": 10**30}, TokenUsage()),
    ],
)
def test_usage_is_normalised_so_that_nothing_is_counted_twice(usage: object, expected: TokenUsage) -> None:
    reply = _read(answer(_response(_message(_text("{}")), usage=usage)))
    assert reply.usage == expected


#: (body, code, kind)
_ANSWERS_200 = [
    (_response(_message({"type": "refusal", "refusal": "I can't."})), "refusal", FaultKind.REFUSED),
    (
        _response(_message(_text("{")), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "max_output_tokens",
        FaultKind.TRUNCATED,
    ),
    (
        _response(status="incomplete", incomplete_details={"reason": "content_filter"}),
        "content_filter",
        FaultKind.REFUSED,
    ),
    (_response(status="failed", error={"code": "server_error", "message": "x"}), "server_error", FaultKind.UNAVAILABLE),
    (
        _response(status="failed", error={"code": "rate_limit_exceeded", "message": "x"}),
        "rate_limit_exceeded",
        FaultKind.RATE_LIMITED,
    ),
    (_response(status="failed", error={"code": "bio_policy", "message": "x"}), "bio_policy", FaultKind.REFUSED),
    (
        _response(status="failed", error={"code": "data_residency_mismatch", "message": "x"}),
        "data_residency_mismatch",
        FaultKind.ENDPOINT_INVALID,
    ),
    (_response(status="failed", error={"code": "new_code", "message": "x"}), "new_code", FaultKind.UNAVAILABLE),
    (_response(status="failed", error=None), "failed", FaultKind.UNAVAILABLE),
    (_response(status="cancelled"), "cancelled", FaultKind.UNAVAILABLE),
    (_response(), EMPTY, FaultKind.EMPTY),
    (_response(_message(_text(" \n"))), EMPTY, FaultKind.EMPTY),
    (_response({"type": "reasoning", "summary": []}), EMPTY, FaultKind.EMPTY),
    (_response(status="queued"), FOREIGN, FaultKind.MALFORMED),
    (_response(status="incomplete", incomplete_details={"reason": "other"}), "other", FaultKind.MALFORMED),
]


@pytest.mark.parametrize(("body", "code", "kind"), _ANSWERS_200, ids=[row[1] for row in _ANSWERS_200])
def test_an_answer_that_is_not_usable_is_told_apart_and_its_usage_kept(
    body: dict[str, Any], code: str, kind: FaultKind
) -> None:
    fault = _fault(answer(body, x_request_id="req_1"))
    assert fault.kind is kind
    assert fault.code == (None if code in {EMPTY, FOREIGN} else code)
    assert fault.request_id == "req_1"
    assert (fault.usage, fault.served_model) == (_COUNTED, "gpt-6-luna-2026-09-10")


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Please wait</body></html>",
        b"",
        b"   \n",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"output": "text"}',
        b'{"status": "completed", "output": [1, null, {"type": "message", "content": "text"}]}',
    ],
)
def test_a_200_that_is_not_the_vendors_envelope_is_a_fault_and_no_crash(content: bytes) -> None:
    fault = _fault(answer(content))
    assert fault.kind in {FaultKind.MALFORMED, FaultKind.EMPTY}
    assert decide(fault).action is Action.RETRY_REMINDED


#: (status, error body, kind, action)
_ERRORS: list[tuple[int, object, FaultKind, Action]] = [
    (400, _error("unsupported_parameter"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (400, _error("unsupported_value"), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (400, _error(None), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (422, _error(None), FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (418, b"teapot", FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (400, _error("context_length_exceeded"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, _error("string_above_max_length"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (413, b"", FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, _error("invalid_prompt"), FaultKind.REFUSED, Action.FALL_BACK),
    (400, _error("bio_policy"), FaultKind.REFUSED, Action.FALL_BACK),
    (400, _error("misalignment_policy_violation"), FaultKind.REFUSED, Action.FALL_BACK),
    (400, _error("content_policy_violation"), FaultKind.REFUSED, Action.FALL_BACK),
    (400, _error("content_filter"), FaultKind.REFUSED, Action.FALL_BACK),
    (401, _error("invalid_api_key"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (403, _error("invalid_api_key"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (401, _error(None), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (401, b"<html>", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (
        401,
        {"error": {"message": "Missing scopes: model.request.", "type": "invalid_request_error", "code": None}},
        FaultKind.PERMISSION_DENIED,
        Action.FALL_BACK,
    ),
    (402, b"", FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (403, _error("unsupported_country_region_territory"), FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (403, _error("model_not_found"), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (404, _error("model_not_found"), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (404, _error(None), FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (404, b"<html>not found</html>", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (404, {"detail": "Not Found"}, FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (405, {"detail": "Method Not Allowed"}, FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (301, b"", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (307, b"", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (400, _error("data_residency_mismatch"), FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (401, _error("incorrect_hostname"), FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (408, b"", FaultKind.UNAVAILABLE, Action.RETRY),
    (409, _error(None), FaultKind.UNAVAILABLE, Action.RETRY),
    (425, b"", FaultKind.UNAVAILABLE, Action.RETRY),
    (500, _error("server_error", "server_error"), FaultKind.UNAVAILABLE, Action.RETRY),
    (500, _error(None, "server_error"), FaultKind.UNAVAILABLE, Action.RETRY),
    (502, b"<html>bad gateway</html>", FaultKind.UNAVAILABLE, Action.RETRY),
    (503, b"", FaultKind.UNAVAILABLE, Action.RETRY),
    (504, b"", FaultKind.UNAVAILABLE, Action.RETRY),
    (524, b"<html>cloudflare</html>", FaultKind.UNAVAILABLE, Action.RETRY),
    (503, _error("server_is_overloaded", "server_error"), FaultKind.OVERLOADED, Action.FALL_BACK),
    (429, _error("resource_unavailable"), FaultKind.OVERLOADED, Action.FALL_BACK),
    (529, b"", FaultKind.OVERLOADED, Action.FALL_BACK),
    (429, _error("rate_limit_exceeded", "tokens"), FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _error("slow_down"), FaultKind.RATE_LIMITED, Action.RETRY),
    (503, _error("slow_down", "server_error"), FaultKind.RATE_LIMITED, Action.RETRY),
    (429, b"", FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _error("credit_balance_exhausted", "insufficient_quota"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("organization_spend_limit_exceeded"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("project_spend_limit_exceeded"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("organization_usage_limit_exceeded"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("insufficient_quota", "insufficient_quota"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("a_new_billing_code", "insufficient_quota"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, _error("billing_hard_limit_reached"), FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (102, b"", FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (204, b"", FaultKind.MALFORMED, Action.RETRY_REMINDED),
]


@pytest.mark.parametrize(("status", "body", "kind", "action"), _ERRORS)
def test_an_error_leads_to_its_action(status: int, body: object, kind: FaultKind, action: Action) -> None:
    fault = _fault(answer(body, status=status))
    assert fault.kind is kind
    assert decide(fault).action is action
    assert fault.status == status
    assert fault.usage == TokenUsage()


def test_every_row_of_the_table_is_met_by_one_of_these_answers() -> None:
    """Takes each row out in turn: something here must then come out differently, or the row is never decisive."""
    provider = OpenAIProvider()
    responses = [answer(body) for body, *_ in _ANSWERS_200]
    responses += [answer(body, status=status) for status, body, *_ in _ERRORS]
    expected = [provider.read(make_call(), response) for response in responses]
    for rule in OpenAIProvider.rules:
        provider.rules = [other for other in OpenAIProvider.rules if other is not rule]
        assert [provider.read(make_call(), response) for response in responses] != expected, rule


@pytest.mark.parametrize("code", sorted({code for rule in OpenAIProvider.rules for code in rule.codes}))
def test_every_code_of_the_table_is_met_by_one_of_these_answers(code: str) -> None:
    seen = {row[1] for row in _ANSWERS_200}
    for _, body, *_ in _ERRORS:
        if isinstance(body, dict) and "error" in body:
            seen |= {body["error"].get("code"), body["error"].get("type")}
        else:
            seen.add(FOREIGN)
    assert code in seen


def test_the_message_names_what_the_vendor_objects_to_and_never_quotes_its_prose() -> None:
    fault = _fault(answer(_error("unsupported_parameter", param="text.format.schema"), status=400))
    assert fault.message == (
        "openai answered 400 (unsupported_parameter, parameter text.format.schema): the request was refused as invalid."
    )
    assert _EPISODE_TEXT not in repr(fault)


def test_the_vendors_wait_is_read() -> None:
    limited = _error("rate_limit_exceeded")
    assert _fault(answer(limited, status=429, retry_after="7")).retry_after == 7
    assert (
        _fault(
            answer(limited, status=429, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="1m30s")
        ).retry_after
        == 90
    )
    assert _fault(answer(b"", status=503, retry_after="3", x_ratelimit_reset_tokens="9s")).retry_after == 3
    assert _fault(answer(b"", status=500, x_ratelimit_reset_tokens="9s")).retry_after is None
