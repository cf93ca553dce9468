"""The vendor's own SDK is the judge: it must read the simulator as it reads the vendor."""

from collections.abc import Iterator
from typing import Any, TypeVar

import openai
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter

from workers.embedded.simulator import Simulator, Usage


class Entity(BaseModel):
    name: str
    type: str
    summary: str


class Fact(BaseModel):
    evidence: str
    subject: str
    predicate: str
    object: str
    fact: str
    valid_at: str | None
    invalid_at: str | None


class Memories(BaseModel):
    entities: list[Entity]
    facts: list[Fact]


Kind = TypeVar("Kind", bound=BaseModel)

TEXT = "Ada Byron lives in London. She met Tom Kyle."
STRICT = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def extras(value: Any, path: str = "") -> Iterator[str]:
    """Fields that the SDK's types do not know, at any depth."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from extras(item, f"{path}[{index}]")


def strictly(kind: type[Kind], body: Any) -> Kind:
    """A body validated against the SDK's type, with no field missing and none unknown."""
    value = TypeAdapter(kind).validate_python(body)
    assert list(extras(value)) == []
    return value


async def test_a_response_is_what_the_sdk_types_say(client: openai.AsyncOpenAI) -> None:
    raw = await client.responses.with_raw_response.create(
        model="gpt-6-luna",
        input=[
            {
                "role": "developer",
                "content": [
                    {"type": "input_text", "text": "Extract.", "prompt_cache_breakpoint": {"mode": "explicit"}}
                ],
            },
            {"role": "user", "content": [{"type": "input_text", "text": TEXT}]},
        ],
        reasoning={"effort": "none"},
        store=False,
        max_output_tokens=2_000,
        metadata={"job": "j-1"},
        prompt_cache_key="extract-v1",
        prompt_cache_options={"mode": "explicit", "ttl": "30m"},
        safety_identifier="abc",
        service_tier="default",
        text={
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "extraction", "strict": True, "schema": STRICT},
        },
    )

    response = strictly(Response, raw.http_response.json())

    assert response.model == "gpt-6-luna"
    assert response.status == "completed"
    assert response.metadata == {"job": "j-1"}
    assert response.output_text.startswith("{")
    assert raw.headers["x-simulated"] == "true"


async def test_a_chat_completion_is_what_the_sdk_types_say(client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="gpt-5.4-nano",
        messages=[{"role": "developer", "content": "Extract."}, {"role": "user", "content": TEXT}],
        reasoning_effort="none",
        max_completion_tokens=500,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "extraction", "strict": True, "schema": STRICT},
        },
    )

    completion = strictly(ChatCompletion, raw.http_response.json())

    assert completion.system_fingerprint == "simulator"
    assert completion.choices[0].finish_reason == "stop"


async def test_both_endpoints_parse_into_a_pydantic_model(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.parse(
        model="gpt-6-luna", input=TEXT, text_format=Memories, reasoning={"effort": "none"}
    )
    completion = await client.chat.completions.parse(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": TEXT}], response_format=Memories
    )

    for memories in (response.output_parsed, completion.choices[0].message.parsed):
        assert memories is not None
        assert [(fact.subject, fact.predicate, fact.object) for fact in memories.facts] == [
            ("Ada Byron", "LIVES_IN", "London")
        ]
        assert memories.facts[0].evidence in TEXT
        assert memories.facts[0].valid_at is None
        assert {entity.name: entity.type for entity in memories.entities} == {
            "Ada Byron": "person",
            "London": "place",
            "Tom Kyle": "person",
        }


async def test_the_same_question_gets_the_same_answer(client: openai.AsyncOpenAI) -> None:
    answers = {
        (
            await client.responses.parse(
                model="gpt-6-luna", input=TEXT, text_format=Memories, reasoning={"effort": "none"}
            )
        ).output_text
        for _ in range(3)
    }

    assert len(answers) == 1


async def test_a_forced_tool_call_comes_as_the_sdk_types_say(client: openai.AsyncOpenAI) -> None:
    parameters = Memories.model_json_schema()
    for schema in (parameters, *parameters["$defs"].values()):
        schema["additionalProperties"] = False
    response = await client.responses.with_raw_response.create(
        model="gpt-6-luna",
        input=TEXT,
        reasoning={"effort": "none"},
        tools=[{"type": "function", "name": "remember", "parameters": parameters, "strict": True}],
        tool_choice={"type": "function", "name": "remember"},
    )
    completion = await client.chat.completions.with_raw_response.create(
        model="gpt-4.1-mini",
        messages=[{"role": "user", "content": TEXT}],
        tools=[{"type": "function", "function": {"name": "remember", "parameters": parameters, "strict": True}}],
        tool_choice={"type": "function", "function": {"name": "remember"}},
    )

    item = strictly(Response, response.http_response.json()).output[0]
    calls = strictly(ChatCompletion, completion.http_response.json()).choices[0].message.tool_calls

    assert item.type == "function_call"
    assert Memories.model_validate_json(item.arguments).facts
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.arguments == item.arguments


async def test_models_are_listed_and_retrieved_with_their_end(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    raw = await client.models.with_raw_response.retrieve("gpt-5-mini")

    model = strictly(Model, raw.http_response.json())

    assert "gpt-6-luna" in listed
    assert "gpt-4.1-nano" not in listed
    assert model.shutdown_date == "2026-12-11"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("gpt-4.1-nano")
    assert caught.value.code == "model_not_found"


async def test_usage_in_the_answer_is_usage_in_the_books(client: openai.AsyncOpenAI, simulator: Simulator) -> None:
    response = await client.responses.create(model="gpt-6-luna", input=TEXT * 300, reasoning={"effort": "low"})
    completion = await client.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": TEXT}]
    )

    usage, chat = response.usage, completion.usage
    assert usage is not None
    assert chat is not None
    assert usage.output_tokens_details.reasoning_tokens == 128
    assert usage.input_tokens_details.cache_write_tokens == usage.input_tokens > 1_024
    assert simulator.books().billed == Usage(
        input=chat.prompt_tokens,
        cache_write=usage.input_tokens,
        output=usage.output_tokens + chat.completion_tokens,
        reasoning=128,
    )
    assert simulator.books().received == simulator.books().billed


async def test_limit_headers_stand_on_every_response(client: openai.AsyncOpenAI) -> None:
    good = await client.responses.with_raw_response.create(
        model="gpt-6-luna", input="x" * 400, reasoning={"effort": "none"}
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="gpt-6-luna", input="x", max_output_tokens=1)

    assert good.headers["x-ratelimit-limit-requests"] == "600"
    assert good.headers["x-ratelimit-remaining-requests"] == "599"
    assert good.headers["x-ratelimit-reset-requests"] == "100ms"
    assert good.headers["x-ratelimit-limit-tokens"] == "60000"
    used = 60_000 - int(good.headers["x-ratelimit-remaining-tokens"])
    assert used == 100 + 7  # the input, and "This is a simulated answer."
    assert good.headers["x-ratelimit-reset-tokens"] == f"{used}ms"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "598"


async def test_a_compatible_server_needs_no_key_and_takes_any_model(simulator: Simulator) -> None:
    base_url = simulator.base_urls["compatible"]
    async with openai.AsyncOpenAI(api_key="unused", base_url=base_url, max_retries=0) as keyless:
        raw = await keyless.chat.completions.with_raw_response.create(
            model="acme/llama-9",
            messages=[{"role": "user", "content": TEXT}],
            max_tokens=900,
            temperature=0.3,
            extra_body={"top_k": 3},
            extra_headers={"Authorization": openai.omit},
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": Memories.model_json_schema()},
            },
        )

    completion = strictly(ChatCompletion, raw.http_response.json())
    assert completion.model == "acme/llama-9"
    assert Memories.model_validate_json(completion.choices[0].message.content or "").facts
    assert "x-ratelimit-limit-tokens" not in raw.headers


async def test_a_compatible_server_lists_and_knows_models(compatible: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in compatible.models.list()] == ["simulated-model"]
    assert (await compatible.models.retrieve("acme/llama-9")).id == "acme/llama-9"
