"""What the vendor refuses on the wire, the simulator refuses too: one row per mistake that we could make."""

from typing import Any

import openai
import pytest

from workers.embedded.simulator import Simulator, Usage

OBJECT = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}

OPEN = {"type": "object", "properties": {}}


def text(schema: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "extraction", "strict": strict, "schema": schema}}


RESPONSES: list[tuple[str, dict[str, Any], str | None, str | None, str]] = [
    ("gpt-6-luna", {"top_k": 3}, "top_k", "unknown_parameter", "Unknown parameter: 'top_k'."),
    ("gpt-6-luna", {"messages": []}, None, "unsupported_parameter", "this parameter has moved to 'input'"),
    ("gpt-6-luna", {"reasoning": {"effort": "minimal"}}, "reasoning.effort", "unsupported_value", "'none', 'low'"),
    ("gpt-5-mini", {"reasoning": {"effort": "none"}}, "reasoning.effort", "unsupported_value", "'minimal', 'low'"),
    ("gpt-6-astra", {"reasoning": {"effort": "none"}}, "reasoning.effort", "unsupported_value", "'low', 'medium'"),
    ("gpt-6-luna", {"reasoning": {"effort": "off"}}, "reasoning.effort", "invalid_value", "Invalid value: 'off'"),
    ("gpt-4.1-mini", {"reasoning": {"effort": "low"}}, "reasoning.effort", "unsupported_parameter", "not supported"),
    ("gpt-6-luna", {"temperature": 0}, "temperature", "unsupported_parameter", "'temperature' is not supported"),
    ("gpt-5-nano", {"reasoning": {"effort": "minimal"}, "top_p": 1}, "top_p", "unsupported_parameter", "'top_p'"),
    ("gpt-6-luna", {"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value", ">= 16, but got 15"),
    ("gpt-4o-mini", {"max_output_tokens": 20_000}, "max_output_tokens", "invalid_value", "at most 16384"),
    (
        "gpt-6-luna",
        {"max_output_tokens": "20"},
        "max_output_tokens",
        "invalid_type",
        "expected an integer, but got a str",
    ),
    ("gpt-6-luna", {"store": 1}, "store", "invalid_type", "expected a boolean, but got an integer"),
    (
        "gpt-5.4-nano",
        {"prompt_cache_options": {"mode": "explicit"}},
        "prompt_cache_options",
        "unsupported_parameter",
        "",
    ),
    (
        "gpt-6-luna",
        {"prompt_cache_options": {"ttl": "5m"}},
        "prompt_cache_options.ttl",
        "invalid_value",
        "'30m' and '12h'",
    ),
    (
        "gpt-6-luna",
        {"metadata": {str(n): "" for n in range(17)}},
        "metadata",
        "object_above_max_properties",
        "at most 16",
    ),
    ("gpt-6-luna", {"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length", "maximum length 512"),
    ("gpt-6-luna", {"metadata": {"job": 7}}, "metadata.job", "invalid_type", "expected a string"),
    ("gpt-6-luna", {"safety_identifier": "x" * 129}, "safety_identifier", "string_above_max_length", "length 128"),
    ("gpt-6-luna", {"service_tier": "turbo"}, "service_tier", "invalid_value", "'ultrafast'"),
    ("gpt-6-luna", {"text": {"verbosity": "tiny"}}, "text.verbosity", "invalid_value", "'low', 'medium', and 'high'"),
    (
        "gpt-6-luna",
        {"text": text({"type": "array"})},
        "text.format.schema",
        "invalid_json_schema",
        "got 'type: \"array\"'",
    ),
    (
        "gpt-6-luna",
        {"text": {"format": {"type": "json_schema", "schema": OBJECT}}},
        "text.format.name",
        "invalid_value",
        "",
    ),
    ("gpt-6-luna", {"stream": True}, "stream", "not_simulated", "does not support 'stream'"),
    ("gpt-6-luna", {"input": None}, "input", "missing_required_parameter", "'input'"),
]


@pytest.mark.parametrize(("model", "body", "param", "code", "words"), RESPONSES, ids=lambda value: str(value)[:50])
async def test_the_responses_endpoint_refuses(
    client: openai.AsyncOpenAI,
    simulator: Simulator,
    model: str,
    body: dict[str, Any],
    param: str | None,
    code: str | None,
    words: str,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/responses", body={"model": model, "input": "x", **body}, cast_to=object)

    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert words in error.message
    assert simulator.books().billed == Usage()


CHAT: list[tuple[str, dict[str, Any], str | None, str | None, str]] = [
    ("gpt-6-luna", {"top_k": 3}, None, None, "Unrecognized request argument supplied: top_k"),
    (
        "gpt-4.1-mini",
        {"reasoning_effort": "low"},
        None,
        None,
        "Unrecognized request argument supplied: reasoning_effort",
    ),
    (
        "gpt-6-luna",
        {"reasoning_effort": "minimal"},
        "reasoning_effort",
        "unsupported_value",
        "does not support 'minimal'",
    ),
    ("gpt-6-luna", {"max_tokens": 100}, "max_tokens", "unsupported_parameter", "Use 'max_completion_tokens' instead"),
    ("gpt-6-luna", {"temperature": 0.5}, "temperature", "unsupported_parameter", "not supported with this model"),
    ("gpt-6-luna", {"prompt_cache_options": {"ttl": "12h"}}, "prompt_cache_options.ttl", "invalid_value", "'30m'"),
    ("gpt-4.1-mini", {"metadata": {"job": "1"}}, "metadata", None, "only allowed when 'store' is enabled"),
    ("gpt-4.1-mini", {"response_format": {"type": "json_object"}}, "messages", None, "must contain the word 'json'"),
    ("gpt-4.1-mini", {"messages": []}, "messages", "missing_required_parameter", "'messages'"),
    ("gpt-4.1-mini", {"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "invalid_value", "'boss'"),
    ("gpt-4.1-mini", {"n": 2}, "n", "not_simulated", "does not support 'n'"),
    (
        "gpt-4.1-mini",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": OPEN}}},
        "response_format",
        None,
        "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is required",
    ),
]


@pytest.mark.parametrize(("model", "body", "param", "code", "words"), CHAT, ids=lambda value: str(value)[:50])
async def test_the_chat_endpoint_refuses(
    client: openai.AsyncOpenAI, model: str, body: dict[str, Any], param: str | None, code: str | None, words: str
) -> None:
    messages = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/chat/completions", body={"model": model, "messages": messages, **body}, cast_to=object)

    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert words in error.message


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("gpt-4.1-mini", {"temperature": 0}),
    ("gpt-5.4-nano", {"temperature": 0}),
    ("gpt-6-luna", {"temperature": 0, "reasoning": {"effort": "none"}}),
    ("gpt-5-mini", {"reasoning": {"effort": "minimal"}}),
    ("gpt-6-luna", {"max_output_tokens": 16}),
    ("gpt-6-luna", {"text": text({"type": "object"}, strict=False)}),
    ("gpt-6-luna", {"prompt_cache_options": {"mode": "explicit", "ttl": "12h"}}),
]


@pytest.mark.parametrize(("model", "body"), ACCEPTED, ids=lambda value: str(value)[:50])
async def test_the_responses_endpoint_accepts(client: openai.AsyncOpenAI, model: str, body: dict[str, Any]) -> None:
    await client.post("/responses", body={"model": model, "input": "x", **body}, cast_to=object)


async def test_a_prompt_beyond_the_context_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="gpt-4o-mini", input="word" * 128_001)

    assert caught.value.code == "context_length_exceeded"


async def test_a_body_that_is_not_json_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/responses", content=b"{", cast_to=object)

    assert "We could not parse the JSON body of your request." in caught.value.message


async def test_a_model_that_the_key_may_not_use_does_not_exist_for_it(
    client: openai.AsyncOpenAI, simulator: Simulator
) -> None:
    (account,) = simulator.core.accounts
    simulator.put_account(account.model_copy(update={"models": frozenset({"gpt-6-luna"})}))

    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="gpt-5.4-nano", input="x")
    assert [model.id async for model in client.models.list()] == ["gpt-6-luna"]
