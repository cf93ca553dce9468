"""What Gemini's and Vertex's answers are taken for, from raw HTTP to the engine's decision."""

from typing import Any

import pytest
from google.genai import types

from tasks.contract import ProviderKind, TokenUsage
from tests.google import USAGE, fault, generated, read
from tests.providers import answer, make_call
from workers.engine.outcome import Action, decide
from workers.providers.base import Fault, FaultKind, Reply


def test_an_answer_is_joined_from_its_parts_without_the_thoughts() -> None:
    body = generated({"text": "Let me think.", "thought": True}, {"text": '{"facts":'}, {"text": "[]}"})
    assert read(answer(body)) == Reply(
        text='{"facts":[]}',
        usage=TokenUsage(input=100, output=20),
        served_model="gemini-3.5-flash-lite-001",
        request_id="resp-1",
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "promptTokenCount": 1_000,
                "cachedContentTokenCount": 600,
                "toolUsePromptTokenCount": 50,
                "candidatesTokenCount": 200,
                "thoughtsTokenCount": 30,
                "totalTokenCount": 1_280,
            },
            TokenUsage(input=450, cached_input=600, output=230, reasoning=30),
        ),
        # Fields are absent when they are zero.
        ({"promptTokenCount": 7}, TokenUsage(input=7)),
        ({}, TokenUsage()),
        # Nonsense counts as nothing, never as a negative.
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, TokenUsage(input=0, cached_input=9)),
        (
            {"promptTokenCount": -5, "candidatesTokenCount": "9", "thoughtsTokenCount": True},
            TokenUsage(),
        ),
    ],
)
def test_usage_is_counted_once(usage: dict[str, object], expected: TokenUsage) -> None:
    body = generated({"text": "{}"}) | {"usageMetadata": usage}
    reply = read(answer(body))
    assert isinstance(reply, Reply)
    assert reply.usage == expected


def test_our_sum_is_the_vendors_total() -> None:
    usage = {
        "promptTokenCount": 1_000,
        "cachedContentTokenCount": 600,
        "toolUsePromptTokenCount": 50,
        "candidatesTokenCount": 200,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 1_280,
    }
    reply = read(answer(generated({"text": "{}"}, usage=usage)))
    assert isinstance(reply, Reply)
    assert reply.usage.total == usage["totalTokenCount"]


def test_a_silent_re_route_shows_in_the_served_model() -> None:
    body = generated({"text": "{}"}) | {"modelVersion": "gemini-3.5-flash-lite"}
    call = make_call(provider=ProviderKind.GEMINI, model="gemini-2.5-flash", unverified=True)
    reply = read(answer(body), call=call)
    assert isinstance(reply, Reply)
    assert reply.served_model == "gemini-3.5-flash-lite"


_REFUSALS = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "JAILBREAK",
    "ESCALATION",
    "IMAGE_SAFETY",
]
_SLIPS = [
    "LANGUAGE",
    "OTHER",
    "MALFORMED_RESPONSE",
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "FINISH_REASON_UNSPECIFIED",
    "A_REASON_OF_NEXT_YEAR",
    None,
]


@pytest.mark.parametrize(
    ("reason", "kind", "action"),
    [
        *((reason, FaultKind.REFUSED, Action.FALL_BACK) for reason in _REFUSALS),
        *((reason, FaultKind.MALFORMED, Action.RETRY_REMINDED) for reason in _SLIPS),
        ("MAX_TOKENS", FaultKind.TRUNCATED, Action.RETRY_LARGER),
        ("CONTINUATION", FaultKind.TRUNCATED, Action.RETRY_LARGER),
        ("PUP_LIMITED_DISABLED", FaultKind.PERMISSION_DENIED, Action.FALL_BACK),
    ],
)
@pytest.mark.filterwarnings("ignore:A_REASON_OF_NEXT_YEAR is not a valid:UserWarning")
@pytest.mark.filterwarnings("ignore:JAILBREAK is not a valid:UserWarning")
def test_each_finish_reason_has_its_fault_and_is_billed(reason: str | None, kind: FaultKind, action: Action) -> None:
    found = fault(answer(generated({"text": '{"facts":['}, reason=reason)))
    assert (found.kind, decide(found).action) == (kind, action)
    assert found.code == reason
    assert found.usage == TokenUsage(input=100, output=20)
    assert (found.served_model, found.request_id) == ("gemini-3.5-flash-lite-001", "resp-1")


def test_every_finish_reason_of_the_vendor_is_in_one_of_the_rows() -> None:
    rows = {*_REFUSALS, *_SLIPS, "MAX_TOKENS", "CONTINUATION", "PUP_LIMITED_DISABLED", "STOP"}
    # Images are never asked for, and thoughts never sent back.
    others = {reason.value for reason in types.FinishReason if "IMAGE" in reason.value} | {"MISSING_THOUGHT_SIGNATURE"}
    assert {reason.value for reason in types.FinishReason} <= rows | others


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "MODEL_ARMOR", "JAILBREAK"])
def test_a_blocked_prompt_is_refused_and_billed(reason: str) -> None:
    body = {"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 100}}
    types.GenerateContentResponse.model_validate(body)
    found = fault(answer(body))
    assert (found.kind, found.code, found.usage.input) == (FaultKind.REFUSED, reason, 100)


@pytest.mark.parametrize(
    "body",
    [
        {"usageMetadata": USAGE},
        {"candidates": []},
        generated(),
        generated({"text": " \n"}),
        generated({"text": "thinking", "thought": True}),
        {"candidates": [{"finishReason": "STOP"}]},
    ],
)
def test_an_answer_without_text_is_empty(body: dict[str, Any]) -> None:
    found = fault(answer(body))
    assert (found.kind, decide(found).action) == (FaultKind.EMPTY, Action.RETRY_REMINDED)


def test_a_thinking_model_that_spent_its_whole_cap_gets_more_room() -> None:
    usage = {"promptTokenCount": 100, "thoughtsTokenCount": 1_200}
    found = fault(answer(generated(reason="MAX_TOKENS", usage=usage)))
    assert (found.kind, found.usage.output, found.usage.reasoning) == (FaultKind.TRUNCATED, 1_200, 1_200)


@pytest.mark.parametrize(
    "content",
    [b"<html>proxy</html>", b"", b"[]", b'"text"', b"\xff\xfe", b"{" * 100_000],
)
def test_a_200_that_is_not_the_vendors_json_is_malformed(content: bytes) -> None:
    assert fault(answer(content)).kind is FaultKind.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": "x"},
        {"candidates": [7]},
        {"candidates": [{"content": 7, "finishReason": 7}]},
        {"candidates": [{"content": {"parts": [{"text": 7}, 8]}, "finishReason": ["STOP"]}]},
        {"promptFeedback": 7, "usageMetadata": [], "modelVersion": {}, "responseId": 9},
    ],
)
def test_nothing_that_a_server_sends_raises(body: object) -> None:
    for status in (200, 400, 500):
        assert isinstance(read(answer(body, status=status)), Fault)
