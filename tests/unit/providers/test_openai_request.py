import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind, Tier
from tests.providers import CANARY, SCHEMA, make_call, unknown_keys
from workers.extraction.schema import PACKED_SCHEMA
from workers.providers.base import Call, Fault, FaultKind, WireRequest
from workers.providers.openai import OpenAIProvider

_ADAPTER: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
_LISTED = [facts for facts in load_catalogue() if facts.provider is ProviderKind.OPENAI]
_TAGS = {"project": "acme", "provider": "openai", "job": "j-1", "attempt": "1.0.1", "team": "search"}

#: What the vendor's table of efforts says, model by model; written down here a second time, on purpose.
_EFFORTS = {
    "gpt-6-luna": {"effort": "none"},
    "gpt-5.6-luna": {"effort": "none"},
    "gpt-5.4-nano": {"effort": "none"},
    "gpt-5.4-mini": {"effort": "none"},
    "gpt-6.1-terra": {"effort": "none"},
    "gpt-4.1-mini": None,
    "gpt-4o-mini": None,
}


async def _sent(call: Call) -> WireRequest:
    wire = await OpenAIProvider().prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


async def _body(call: Call) -> Mapping[str, Any]:
    body: dict[str, Any] = json.loads((await _sent(call)).content)
    return body


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_each_listed_model_gets_a_request_that_the_vendors_types_accept(facts: ModelFacts) -> None:
    for system, schema, tier in (("Short.", SCHEMA, None), ("Long. " * 2_000, PACKED_SCHEMA, Tier.FLEX)):
        body = await _body(make_call(model=facts.id, system=system, schema=schema, tags=_TAGS, tier=tier))
        _ADAPTER.validate_python(body, strict=True)
        assert unknown_keys(body, ResponseCreateParamsNonStreaming) == []


def test_the_check_against_the_vendors_types_sees_a_wrong_key_at_any_depth() -> None:
    part = {"type": "input_text", "text": "x", "cache": True}
    body = {
        "model": "m",
        "retain": False,
        "input": [{"role": "user", "content": [part]}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"any": 1}, "strikt": True}},
    }
    assert sorted(unknown_keys(body, ResponseCreateParamsNonStreaming)) == [
        ".input[0].content[0].cache",
        ".retain",
        ".text.format.strikt",
    ]


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_what_the_catalogue_says_is_what_goes_over_the_wire(facts: ModelFacts) -> None:
    body = await _body(make_call(model=facts.id, tags=_TAGS))
    assert body["model"] == facts.id
    assert body["store"] is False
    assert body.get("reasoning") == _EFFORTS[facts.id]
    assert body.get("prompt_cache_options") == ({"mode": "explicit"} if facts.explicit_cache else None)
    assert not {"temperature", "top_p", "user", "background", "prompt_cache_retention"} & body.keys()


def test_every_listed_model_has_its_effort_written_down() -> None:
    assert {facts.id for facts in _LISTED} == _EFFORTS.keys()


async def test_a_model_that_cannot_go_without_reasoning_is_turned_down_to_its_lowest() -> None:
    facts = ModelFacts(
        provider=ProviderKind.OPENAI,
        id="gpt-6-astra",
        context=1_000,
        max_output=1_000,
        reasoning=ReasoningOff.LOWEST,
        reasoning_value="low",
    )
    assert (await _body(make_call(model="gpt-6-astra", facts=facts)))["reasoning"] == {"effort": "low"}


async def test_an_unverified_model_gets_no_field_that_it_might_refuse() -> None:
    body = await _body(make_call(model="gpt-next", unverified=True))
    assert body.keys() == {
        "model",
        "store",
        "service_tier",
        "input",
        "text",
        "max_output_tokens",
        "prompt_cache_key",
    }


async def test_the_whole_request() -> None:
    wire = await _sent(make_call(tags={"project": "acme"}))
    assert (wire.method, wire.url) == ("POST", "https://api.openai.com/v1/responses")
    assert wire.headers == {"authorization": f"Bearer {CANARY}", "content-type": "application/json"}
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
    ("model", "characters", "breakpoint_"),
    [
        ("gpt-6-luna", 4_096, {"mode": "explicit"}),
        ("gpt-6-luna", 4_095, None),
        ("gpt-5.4-nano", 40_000, None),
    ],
)
async def test_only_a_static_prompt_worth_caching_is_marked(
    model: str, characters: int, breakpoint_: dict[str, str] | None
) -> None:
    body = await _body(make_call(model=model, system="x" * characters))
    system, user = body["input"]
    assert system["content"][0].get("prompt_cache_breakpoint") == breakpoint_
    assert "prompt_cache_breakpoint" not in user["content"][0]


async def test_tags_stay_within_the_vendors_limits() -> None:
    tags = {"project": "acme"} | {f"label-{number}": "v" for number in range(20)} | {"k" * 80: "late"}
    metadata = (await _body(make_call(tags=tags)))["metadata"]
    assert len(metadata) == 16
    assert metadata["project"] == "acme"
    long = (await _body(make_call(tags={"k" * 80: "v" * 600})))["metadata"]
    assert long == {"k" * 64: "v" * 512}


async def test_a_regional_host_and_the_organization_are_used() -> None:
    wire = await _sent(make_call(base_url="https://eu.api.openai.com/v1/", organization="org-abc"))
    assert wire.url == "https://eu.api.openai.com/v1/responses"
    assert wire.headers["openai-organization"] == "org-abc"


async def test_equal_prompts_are_equal_bytes_up_to_the_episode() -> None:
    first = (await _sent(make_call(user="FIRST"))).content
    second = (await _sent(make_call(user="SECOND"))).content
    assert first.replace(b"FIRST", b"SECOND") == second


async def test_half_a_surrogate_pair_does_not_cost_the_episode() -> None:
    body = await _body(make_call(user="broken \ud83d here"))
    assert body["input"][1]["content"][0]["text"] == "broken ? here"


@pytest.mark.parametrize("secret", ["", " \n", "sk-two words", "sk-line\nbreak", "sk-umläut", "“sk-quoted”"])
async def test_a_key_that_no_header_takes_is_refused_without_quoting_it(secret: str) -> None:
    fault = await OpenAIProvider().prepare(make_call(secret=secret))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert not secret.strip() or secret.strip() not in repr(fault)


async def test_a_key_pasted_with_a_line_break_at_its_end_is_used() -> None:
    assert (await _sent(make_call(secret=f" {CANARY}\n"))).headers["authorization"] == f"Bearer {CANARY}"


async def test_an_organization_that_no_header_takes_is_a_fault() -> None:
    fault = await OpenAIProvider().prepare(make_call(organization="Zürich"))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.BAD_REQUEST
