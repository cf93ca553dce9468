import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import TypeAdapter

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind
from tests.providers import CANARY, SCHEMA, make_call, unknown_keys
from workers.extraction.schema import PACKED_SCHEMA
from workers.providers.anthropic import AnthropicProvider
from workers.providers.base import Call, Fault, FaultKind, WireRequest

_ADAPTER: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
_LISTED = [facts for facts in load_catalogue() if facts.provider is ProviderKind.ANTHROPIC]
_TAGS = {"project": "acme", "provider": "anthropic", "job": "j-1", "attempt": "1.0.1", "team": "search"}

#: How each model is kept from thinking; written down here a second time, on purpose.
_THINKING = {
    "claude-haiku-5-5": {"type": "disabled"},
    "claude-haiku-4-5": None,
    "claude-sonnet-5-5": {"type": "between_tools"},
}


def _call(model: str = "claude-haiku-5-5", **more: Any) -> Call:
    return make_call(provider=ProviderKind.ANTHROPIC, model=model, **more)


async def _sent(call: Call) -> WireRequest:
    wire = await AnthropicProvider().prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


async def _body(call: Call) -> Mapping[str, Any]:
    body: dict[str, Any] = json.loads((await _sent(call)).content)
    return body


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_each_listed_model_gets_a_request_that_the_vendors_types_accept(facts: ModelFacts) -> None:
    for system, schema in (("Short.", SCHEMA), ("Long. " * 5_000, PACKED_SCHEMA)):
        body = await _body(_call(facts.id, system=system, schema=schema, tags=_TAGS))
        _ADAPTER.validate_python(body, strict=True)
        assert unknown_keys(body, MessageCreateParamsNonStreaming) == []


def test_the_check_against_the_vendors_types_sees_a_wrong_key_at_any_depth() -> None:
    body = {
        "model": "m",
        "max_tokens": 1,
        "retain": False,
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "for": "1h"}}],
        "messages": [{"role": "user", "content": "x", "name": "n"}],
        "thinking": {"type": "disabled", "effort": "low"},
        "output_config": {"format": {"type": "json_schema", "schema": {"any": 1}, "strict": True}},
    }
    assert sorted(unknown_keys(body, MessageCreateParamsNonStreaming)) == [
        ".messages[0].name",
        ".output_config.format.strict",
        ".retain",
        ".system[0].cache_control.for",
        ".thinking.effort",
    ]


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_what_the_catalogue_says_is_what_goes_over_the_wire(facts: ModelFacts) -> None:
    body = await _body(_call(facts.id, tags=_TAGS))
    assert body["model"] == facts.id
    assert body.get("thinking") == _THINKING[facts.id]
    assert body["output_config"].keys() == {"format"}
    assert body["service_tier"] == "standard_only"
    # On this version of the API each of them is an error, for every model.
    assert not {"temperature", "top_p", "top_k"} & body.keys()


def test_every_listed_model_has_its_thinking_written_down() -> None:
    assert {facts.id for facts in _LISTED} == _THINKING.keys()


async def test_a_model_that_always_thinks_is_turned_down_to_its_lowest() -> None:
    facts = ModelFacts(
        provider=ProviderKind.ANTHROPIC,
        id="claude-opus-5-5",
        context=1_000,
        max_output=1_000,
        reasoning=ReasoningOff.LOWEST,
        reasoning_value="low",
    )
    body = await _body(_call("claude-opus-5-5", facts=facts))
    assert body["output_config"]["effort"] == "low"
    assert "thinking" not in body
    _ADAPTER.validate_python(body, strict=True)


async def test_an_unverified_model_gets_no_field_that_it_might_refuse() -> None:
    body = await _body(_call("claude-next", unverified=True, system="Long. " * 5_000))
    assert body.keys() == {"model", "max_tokens", "system", "messages", "output_config", "service_tier"}
    assert body["output_config"].keys() == {"format"}
    assert "cache_control" not in body["system"][0]


async def test_the_whole_request() -> None:
    wire = await _sent(_call(tags={"project": "acme", "team": "search"}))
    assert (wire.method, wire.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert wire.headers == {
        "x-api-key": CANARY,
        "anthropic-version": "2026-10-21",
        "content-type": "application/json",
    }
    assert json.loads(wire.content) == {
        "model": "claude-haiku-5-5",
        "max_tokens": 1_200,
        "system": [{"type": "text", "text": "Extract the facts."}],
        "messages": [{"role": "user", "content": "Ada lives in Paris."}],
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "service_tier": "standard_only",
        "metadata": {"user_id": hashlib.sha256(b"acme").hexdigest()},
    }


@pytest.mark.parametrize(
    ("model", "characters", "marked"),
    [
        ("claude-haiku-5-5", 2_048, True),
        ("claude-haiku-5-5", 2_047, False),
        ("claude-haiku-4-5", 16_384, True),
        ("claude-haiku-4-5", 16_383, False),
        # Its minimum is not known.
        ("claude-sonnet-5-5", 100_000, False),
    ],
)
async def test_only_a_static_prompt_worth_caching_is_marked(model: str, characters: int, *, marked: bool) -> None:
    body = await _body(_call(model, system="x" * characters))
    (system,) = body["system"]
    assert system.get("cache_control") == ({"type": "ephemeral"} if marked else None)
    # The episode is never seen again: writing it to the cache would cost a quarter more.
    assert "cache_control" not in body
    assert body["messages"] == [{"role": "user", "content": "Ada lives in Paris."}]


async def test_the_user_is_an_opaque_name_for_the_project_that_stays_the_same() -> None:
    first = await _body(_call(tags=_TAGS))
    second = await _body(_call(tags=_TAGS | {"job": "j-2", "attempt": "2.0.1"}))
    other = await _body(_call(tags=_TAGS | {"project": "acme-2"}))
    assert first["metadata"] == second["metadata"] != other["metadata"]
    assert "acme" not in first["metadata"]["user_id"]
    assert len(first["metadata"]["user_id"]) <= 256
    assert "metadata" not in await _body(_call(tags={"team": "search"}))


async def test_a_base_url_is_used_as_the_vendors_sdk_would() -> None:
    wire = await _sent(_call(base_url="https://gateway.example.com/anthropic/"))
    assert wire.url == "https://gateway.example.com/anthropic/v1/messages"


async def test_equal_prompts_are_equal_bytes_up_to_the_episode() -> None:
    first = (await _sent(_call(user="FIRST"))).content
    second = (await _sent(_call(user="SECOND"))).content
    assert first.replace(b"FIRST", b"SECOND") == second


@pytest.mark.parametrize("secret", ["", " \n", "sk-ant two words", "sk-ant\nbreak", "sk-ant-ü", "“sk-ant”"])
async def test_a_key_that_no_header_takes_is_refused_without_quoting_it(secret: str) -> None:
    fault = await AnthropicProvider().prepare(_call(secret=secret))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert not secret.strip() or secret.strip() not in repr(fault)


async def test_neither_the_call_nor_the_request_shows_the_key() -> None:
    call = _call(tags=_TAGS)
    wire = await _sent(call)
    for shown in (repr(call), str(call), repr(wire), str(wire), wire.url, wire.content.decode()):
        assert CANARY not in shown
