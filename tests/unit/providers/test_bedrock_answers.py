"""Raw responses of Bedrock → fault → action, row by row."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.contract import ProviderKind, TokenUsage
from tests.providers import answer, make_call
from tests.support import ManualClock
from workers.engine.outcome import Action, decide
from workers.providers.aws_auth import AwsAuth
from workers.providers.aws_signing import AwsKeys
from workers.providers.base import Call, Fault, FaultKind, HoldsTokens, Reply, WireResponse
from workers.providers.bedrock import BedrockProvider
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES

_USAGE = {
    "inputTokens": 464,
    "cacheReadInputTokens": 1_024,
    "cacheWriteInputTokens": 512,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 512}],
    "outputTokens": 400,
    "totalTokens": 2_400,
}
_COUNTED = TokenUsage(input=464, cached_input=1_024, cache_write=512, output=400)

_EPISODE_TEXT = "Ada lives in Paris"
_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYcanary"
_KEYS = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": _SECRET}
_CODE_PAGE = "http://internal.amazon.com/coral/com.amazon.bedrock/"


def _call(secret: str | None = None) -> Call:
    return make_call(
        provider=ProviderKind.BEDROCK,
        model="global.anthropic.claude-haiku-5-5",
        secret=secret or json.dumps(_KEYS),
        tags={"project": "acme"},
    )


def _tool(given: object) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": "t-1", "name": "extraction", "input": given}}


def _message(*content: object, stop: object = "tool_use", **more: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": _USAGE,
        "metrics": {"latencyMs": 412},
        **more,
    }


def _error(status: int, code: str | None, message: str = f"No: {_EPISODE_TEXT}.") -> WireResponse:
    named = {} if code is None else {"x_amzn_errortype": f"{code}:{_CODE_PAGE}"}
    return answer({"message": message}, status=status, x_amzn_requestid="r-1", **named)


def _provider() -> BedrockProvider:
    return BedrockProvider(clock=ManualClock())


def _read(response: WireResponse) -> Reply | Fault:
    return _provider().read(_call(), response)


def _fault(response: WireResponse) -> Fault:
    fault = _read(response)
    assert isinstance(fault, Fault)
    return fault


def test_the_input_of_the_tool_call_is_the_answer() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    body = _message(thought, {"text": "Here it is."}, _tool({"facts": ["Ada ♥ Paris"]}))
    assert _read(answer(body, x_amzn_requestid="r-1")) == Reply(
        text='{"facts": ["Ada ♥ Paris"]}', usage=_COUNTED, request_id="r-1"
    )


def test_the_text_is_the_answer_where_there_is_no_tool_call() -> None:
    body = _message({"text": '{"facts":'}, {"text": " []}"}, stop="end_turn")
    assert _read(answer(body)) == Reply(text='{"facts": []}', usage=_COUNTED)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, TokenUsage()),
        ({"inputTokens": 5, "outputTokens": 7, "totalTokens": 900}, TokenUsage(input=5, output=7)),
        ({"inputTokens": -5, "outputTokens": "7", "cacheReadInputTokens": None}, TokenUsage()),
    ],
)
def test_the_vendors_counts_exclude_the_cache_and_nonsense_counts_nothing(usage: object, expected: TokenUsage) -> None:
    assert _read(answer(_message(_tool({}), usage=usage))).usage == expected


_ANSWERS_200: list[tuple[object, FaultKind, Action]] = [
    (_message({"text": "Blocked."}, stop="guardrail_intervened"), FaultKind.REFUSED, Action.FALL_BACK),
    (_message(stop="content_filtered"), FaultKind.REFUSED, Action.FALL_BACK),
    (_message(stop="refusal"), FaultKind.REFUSED, Action.FALL_BACK),
    (_message(_tool({"facts": []}), stop="max_tokens"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (_message(stop="max_tokens"), FaultKind.TRUNCATED, Action.RETRY_LARGER),
    (_message(_tool({}), stop="model_context_window_exceeded"), FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (_message(stop="malformed_model_output"), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(stop="malformed_tool_use"), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(stop="stop_sequence"), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (_message(stop="end_turn"), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message({"text": " "}, stop="end_turn"), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message(stop="tool_use"), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message({"toolUse": {"name": "extraction"}}), FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message({"toolUse": "x"}), FaultKind.EMPTY, Action.RETRY_REMINDED),
    ({"output": [], "stopReason": "end_turn"}, FaultKind.EMPTY, Action.RETRY_REMINDED),
    (_message(_tool({}), stop=None), FaultKind.MALFORMED, Action.RETRY_REMINDED),
    ({}, FaultKind.MALFORMED, Action.RETRY_REMINDED),
    (b"<html>gateway</html>", FaultKind.MALFORMED, Action.RETRY_REMINDED),
]


@pytest.mark.parametrize(("body", "kind", "action"), _ANSWERS_200)
def test_an_answer_that_is_not_usable_leads_to_its_action(body: object, kind: FaultKind, action: Action) -> None:
    fault = _fault(answer(body))
    assert fault.kind is kind
    assert decide(fault).action is action


def test_refused_and_truncated_answers_are_billed() -> None:
    for stop in ("content_filtered", "max_tokens", "malformed_tool_use"):
        fault = _fault(answer(_message(stop=stop), x_amzn_requestid="r-1"))
        assert (fault.usage, fault.request_id, fault.code) == (_COUNTED, "r-1", stop)


_INVALID, _DENIED, _THROTTLED = "ValidationException", "AccessDeniedException", "ThrottlingException"
_SIGNATURE = "InvalidSignatureException"
_CLAUDE = "The model returned the following errors: "
_ERRORS: list[tuple[int, str | None, str, FaultKind, Action]] = [
    (400, _INVALID, "Input is too long for requested model.", FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (400, _INVALID, f"{_CLAUDE}prompt is too long: 9 > 8", FaultKind.CONTEXT_TOO_LONG, Action.FALL_BACK),
    (
        400,
        _INVALID,
        "Invocation of model ID x with on-demand throughput isn’t supported. Retry your request with …",  # noqa: RUF001 - the vendor's apostrophe
        FaultKind.MODEL_NOT_FOUND,
        Action.FALL_BACK,
    ),
    (400, _INVALID, "The provided model identifier is invalid.", FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (400, _INVALID, f"{_CLAUDE}tools.0: bad", FaultKind.BAD_REQUEST, Action.FALL_BACK),
    (
        400,
        _INVALID,
        f"{_CLAUDE}output_config.format: Extra inputs are not permitted",
        FaultKind.UNAVAILABLE,
        Action.RETRY,
    ),
    (
        400,
        _INVALID,
        "Malformed input request: #: extraneous key [outputConfig] is not permitted, please reformat your input",
        FaultKind.UNAVAILABLE,
        Action.RETRY,
    ),
    (
        400,
        _INVALID,
        f"{_CLAUDE}compilation exceeded limits: Schema is too complex",
        FaultKind.UNAVAILABLE,
        Action.RETRY,
    ),
    (400, "ServiceQuotaExceededException", "quota", FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (403, _DENIED, "User x is not authorized", FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (
        403,
        _DENIED,
        "You don't have access to the model with the specified model ID.",
        FaultKind.MODEL_NOT_FOUND,
        Action.FALL_BACK,
    ),
    (403, _DENIED, "Model access is denied: MPAgreementBeingCreated", FaultKind.OVERLOADED, Action.FALL_BACK),
    (403, "UnrecognizedClientException", "m", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (403, "IncompleteSignatureException", "m", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (403, "MissingAuthenticationToken", "m", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (403, "MissingAuthenticationTokenException", "m", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    (403, _SIGNATURE, "The request signature we …", FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL),
    # The worker's clock, not the customer's keys.
    (403, _SIGNATURE, "Signature expired: 20261123T1200Z is now earlier than …", FaultKind.UNAVAILABLE, Action.RETRY),
    (403, _SIGNATURE, "Signature not yet current: 20261123T1200Z …", FaultKind.UNAVAILABLE, Action.RETRY),
    (403, "ExpiredTokenException", "m", FaultKind.CREDENTIAL_EXPIRED, Action.REFRESH_CREDENTIAL),
    (403, "ExpiredToken", "m", FaultKind.CREDENTIAL_EXPIRED, Action.REFRESH_CREDENTIAL),
    (403, None, "a proxy", FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    (404, "ResourceNotFoundException", "end of its life", FaultKind.MODEL_NOT_FOUND, Action.FALL_BACK),
    (404, "UnknownOperationException", "", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (404, None, "", FaultKind.ENDPOINT_INVALID, Action.FALL_BACK),
    (408, "ModelTimeoutException", "m", FaultKind.UNAVAILABLE, Action.RETRY),
    (424, "ModelErrorException", "m", FaultKind.UNAVAILABLE, Action.RETRY),
    (429, _THROTTLED, "Too many tokens, please wait before trying again.", FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _THROTTLED, "Too many requests", FaultKind.RATE_LIMITED, Action.RETRY),
    (429, _THROTTLED, "Too many tokens per day, please wait", FaultKind.QUOTA_EXHAUSTED, Action.FALL_BACK),
    (429, "ModelNotReadyException", "m", FaultKind.UNAVAILABLE, Action.RETRY),
    (500, "InternalServerException", "m", FaultKind.UNAVAILABLE, Action.RETRY),
    (503, "ServiceUnavailableException", "m", FaultKind.OVERLOADED, Action.FALL_BACK),
    (503, None, "a load balancer", FaultKind.UNAVAILABLE, Action.RETRY),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "action"), _ERRORS)
def test_an_error_leads_to_its_action(
    status: int, code: str | None, message: str, kind: FaultKind, action: Action
) -> None:
    fault = _fault(_error(status, code, f"{message} {_EPISODE_TEXT}"))
    assert fault.kind is kind
    assert decide(fault).action is action
    assert (fault.status, fault.code, fault.request_id) == (status, code, "r-1")
    assert _EPISODE_TEXT not in repr(fault)


@pytest.mark.parametrize(
    "body",
    [
        {"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "m"},
        {"__type": "ExpiredTokenException", "Message": "m"},
    ],
)
def test_an_error_may_be_named_in_the_body_instead(body: dict[str, str]) -> None:
    fault = _fault(answer(body, status=403))
    assert (fault.kind, fault.code) == (FaultKind.CREDENTIAL_EXPIRED, "ExpiredTokenException")


def test_each_row_of_the_table_is_decisive_for_one_of_these_answers() -> None:
    provider = _provider()
    responses = [answer(body) for body, *_ in _ANSWERS_200]
    responses += [_error(status, code, message) for status, code, message, *_ in _ERRORS]
    expected = [provider.read(_call(), response) for response in responses]
    for rule in BedrockProvider.rules:
        if rule in HTTP_RULES:
            continue
        provider.rules = [other for other in BedrockProvider.rules if other is not rule]
        assert [provider.read(_call(), response) for response in responses] != expected, rule


@pytest.mark.parametrize("code", sorted({code for rule in BedrockProvider.rules for code in rule.codes}))
def test_every_code_of_the_table_is_met_by_one_of_these_answers(code: str) -> None:
    seen = {str(code).lower() for _, code, *_ in _ERRORS} | {EMPTY, FOREIGN}
    seen |= {str(body.get("stopReason")) for body, *_ in _ANSWERS_200 if isinstance(body, dict)}
    assert code in seen


@pytest.mark.parametrize("phrase", sorted({phrase for rule in BedrockProvider.rules for phrase in rule.says}))
def test_every_phrase_of_the_table_is_met_by_one_of_these_answers(phrase: str) -> None:
    assert any(phrase in message.lower() for _, _, message, *_ in _ERRORS)


def test_a_rare_wait_of_the_vendor_is_read() -> None:
    response = answer({"message": "m"}, status=503, retry_after="3", x_amzn_errortype="ServiceUnavailableException")
    assert _fault(response).retry_after == 3


def test_a_refusal_of_native_output_says_what_follows() -> None:
    fault = _fault(_error(400, _INVALID, f"{_CLAUDE}output_config.format: Extra inputs are not permitted"))
    assert fault.message.endswith("a forced tool call follows.")
    assert fault.retry_after == 0


def test_keys_that_aws_echoes_get_into_nothing() -> None:
    echoed = f"The Canonical String for this request should have been … {_SECRET} {_KEYS['access_key_id']}"
    fault = _provider().read(
        _call(), answer({"message": echoed, "__type": _SECRET}, status=403, x_amzn_requestid=_SECRET)
    )
    assert _SECRET not in repr(fault)
    assert _KEYS["access_key_id"] not in repr(fault)


class _OneSession(AwsAuth):
    """Holds one session, and says how often it was told to drop it."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.forgotten = 0

    async def keys(self, call: Call) -> AwsKeys | Fault:
        del call
        return AwsKeys(access_key_id="ASIASESSION000000001", secret_access_key=SecretStr(_SECRET))

    def forget(self, call: Call) -> bool:
        del call
        self.forgotten += 1
        return True


def test_the_engine_can_have_a_refused_session_dropped() -> None:
    clock = ManualClock()
    auth = _OneSession(clock)
    provider = BedrockProvider(clock=clock, auth=auth)
    assert isinstance(provider, HoldsTokens)
    assert provider.forget(_call())
    assert auth.forgotten == 1


@pytest.mark.parametrize(
    ("status", "code", "dropped"), [(403, _DENIED, 1), (403, "ExpiredTokenException", 0), (429, _THROTTLED, 0)]
)
def test_a_session_that_may_do_nothing_does_not_outlive_its_refusal(status: int, code: str, dropped: int) -> None:
    """A revoked session is denied like a missing permission; only the latter is denied again."""
    clock = ManualClock()
    auth = _OneSession(clock)
    BedrockProvider(clock=clock, auth=auth).read(_call(), _error(status, code, "m"))
    assert auth.forgotten == dropped
