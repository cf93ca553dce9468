import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import MapShape, OperationModel, ServiceModel, StructureShape
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind, Tier
from tests.providers import SCHEMA, answer, make_call
from tests.support import ManualClock
from workers.extraction.schema import PACKED_SCHEMA
from workers.providers.base import Call, Fault, FaultKind, WireRequest
from workers.providers.bedrock import BedrockProvider

_LISTED = [facts for facts in load_catalogue() if facts.provider is ProviderKind.BEDROCK]
_TAGS = {"project": "acme", "provider": "bedrock", "job": "j-1", "attempt": "1.0.1", "team": "search"}
_KEYS = json.dumps({"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/example"})
_HAIKU = "global.anthropic.claude-haiku-5-5"
_OLD_HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"

_TOOL = {
    "tools": [
        {
            "toolSpec": {
                "name": "extraction",
                "description": "Takes the complete answer. Call it exactly once.",
                "inputSchema": {"json": SCHEMA},
            }
        }
    ],
    "toolChoice": {"tool": {"name": "extraction"}},
}


@cache
def _converse() -> OperationModel:
    """The vendor's own description of the call, from botocore's data files."""
    description = Loader().load_service_model("bedrock-runtime", "service-2")
    return ServiceModel(description, "bedrock-runtime").operation_model("Converse")


def _input() -> StructureShape:
    shape = _converse().input_shape
    assert shape is not None
    return shape


def _problems(model: str, body: Mapping[str, Any]) -> str:
    """What botocore has against a request; it checks types, lengths, required and unknown parameters."""
    report = ParamValidator().validate({"modelId": model, **body}, _input())
    return str(report.generate_report())


def _call(model: str = _HAIKU, **more: Any) -> Call:
    return make_call(provider=ProviderKind.BEDROCK, model=model, **{"secret": _KEYS, **more})


def _provider() -> BedrockProvider:
    return BedrockProvider(clock=ManualClock())


async def _sent(call: Call, provider: BedrockProvider | None = None) -> WireRequest:
    wire = await (provider or _provider()).prepare(call)
    assert isinstance(wire, WireRequest)
    return wire


async def _body(call: Call, provider: BedrockProvider | None = None) -> Mapping[str, Any]:
    body: dict[str, Any] = json.loads((await _sent(call, provider)).content)
    return body


@pytest.mark.parametrize("mode", [None, "tool", "native"])
@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_each_listed_model_gets_the_request_that_botocore_would_send(facts: ModelFacts, mode: str | None) -> None:
    for system, schema, tier in (("Short.", SCHEMA, None), ("Long. " * 5_000, PACKED_SCHEMA, Tier.FLEX)):
        call = _call(facts.id, system=system, schema=schema, tags=_TAGS, structured_output=mode, tier=tier)
        wire = await _sent(call)
        body = json.loads(wire.content)
        assert _problems(facts.id, body) == ""
        serialized = create_serializer("rest-json", include_validation=True).serialize_to_request(
            {"modelId": facts.id, **body}, _converse()
        )
        assert json.loads(serialized["body"]) == body
        assert serialized["method"] == wire.method
        assert unquote(serialized["url_path"]) == unquote(urlsplit(wire.url).path)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"retain": False}, 'Unknown parameter in input: "retain"'),
        ({"system": [{"cachePoint": {"type": "default", "for": "1h"}}]}, "Unknown parameter in system[0].cachePoint"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "n"}}]}}, "Missing required parameter"),
        ({"inferenceConfig": {"maxTokens": 0}}, "Invalid value for parameter inferenceConfig.maxTokens"),
        ({"requestMetadata": {"k": 1}}, "Invalid type for parameter requestMetadata.k"),
    ],
)
def test_the_check_against_botocore_sees_what_is_wrong(part: dict[str, Any], problem: str) -> None:
    assert problem in _problems(_HAIKU, part)


#: How each model is kept from thinking; written down here a second time, on purpose.
_THINKING = {"claude-haiku-5-5": {"thinking": {"type": "disabled"}}, "claude-haiku-4-5": None}


@pytest.mark.parametrize("facts", _LISTED, ids=lambda facts: facts.id)
async def test_what_the_catalogue_says_is_what_goes_over_the_wire(facts: ModelFacts) -> None:
    wire = await _sent(_call(facts.id, tags=_TAGS))
    body = json.loads(wire.content)
    (family,) = (name for name in _THINKING if name in facts.id)
    assert body.get("additionalModelRequestFields") == _THINKING[family]
    assert "outputConfig" not in body
    assert unquote(urlsplit(wire.url).path) == f"/model/{facts.id}/converse"
    # No sampling parameter, and never without a cap: AWS would reserve the model's maximum from the quota.
    assert body["inferenceConfig"] == {"maxTokens": 1_200}


@pytest.mark.parametrize("value", ["low", "between_tools"])
async def test_other_ways_to_keep_a_model_from_thinking(value: str) -> None:
    facts = ModelFacts(
        provider=ProviderKind.BEDROCK,
        id="global.anthropic.claude-opus-5-5",
        context=1_000,
        max_output=1_000,
        reasoning=ReasoningOff.LOWEST,
        reasoning_value=value,
    )
    body = await _body(_call(facts.id, facts=facts))
    assert _problems(facts.id, body) == ""
    if value == "low":
        assert body["outputConfig"] == {"effort": "low"}
        assert "additionalModelRequestFields" not in body
    else:
        assert body["additionalModelRequestFields"] == {"thinking": {"type": "between_tools"}}
        assert "outputConfig" not in body


async def test_an_unverified_model_gets_no_field_that_it_might_refuse() -> None:
    body = await _body(_call("eu.anthropic.claude-next", unverified=True, system="Long. " * 5_000))
    assert body.keys() == {"system", "messages", "inferenceConfig", "toolConfig"}
    assert len(body["system"]) == 1


async def test_the_whole_request() -> None:
    wire = await _sent(_call(tags={"project": "acme"}))
    assert (wire.method, wire.url) == (
        "POST",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/global.anthropic.claude-haiku-5-5/converse",
    )
    assert wire.headers.keys() == {"content-type", "x-amz-date", "authorization"}
    assert json.loads(wire.content) == {
        "system": [{"text": "Extract the facts."}],
        "messages": [{"role": "user", "content": [{"text": "Ada lives in Paris."}]}],
        "inferenceConfig": {"maxTokens": 1_200},
        "toolConfig": _TOOL,
        "additionalModelRequestFields": {"thinking": {"type": "disabled"}},
        "requestMetadata": {"project": "acme"},
    }


async def test_native_output_is_a_schema_as_text_in_place_of_the_tool() -> None:
    body = await _body(_call(structured_output="native"))
    assert "toolConfig" not in body
    json_schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert body["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert json_schema["name"] == "extraction"
    assert json.loads(json_schema["schema"]) == SCHEMA


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (_HAIKU, "/model/global.anthropic.claude-haiku-5-5/converse"),
        (_OLD_HAIKU, "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse"),
        (
            _PROFILE,
            "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123/converse",
        ),
    ],
)
async def test_a_model_id_is_one_segment_of_the_path_that_no_http_client_rewrites(model: str, path: str) -> None:
    assert urlsplit((await _sent(_call(model, unverified=True))).url).path == path


async def test_the_region_chooses_the_host_and_a_base_url_replaces_it() -> None:
    regional = await _sent(_call(region="eu-central-1"))
    assert urlsplit(regional.url).netloc == "bedrock-runtime.eu-central-1.amazonaws.com"
    assert "/eu-central-1/bedrock/aws4_request" in regional.headers["authorization"]
    replaced = await _sent(_call(base_url="https://vpce-1.example.com/aws/"))
    assert replaced.url == "https://vpce-1.example.com/aws/model/global.anthropic.claude-haiku-5-5/converse"


@pytest.mark.parametrize(
    ("model", "characters", "marked"),
    [(_HAIKU, 2_048, True), (_HAIKU, 2_047, False), (_OLD_HAIKU, 16_384, True), (_OLD_HAIKU, 16_383, False)],
)
async def test_only_a_static_prompt_worth_caching_gets_a_cache_point(
    model: str, characters: int, *, marked: bool
) -> None:
    body = await _body(_call(model, system="x" * characters))
    assert body["system"][1:] == ([{"cachePoint": {"type": "default"}}] if marked else [])
    assert body["messages"] == [{"role": "user", "content": [{"text": "Ada lives in Paris."}]}]


async def test_tags_stay_within_the_vendors_limits() -> None:
    tags = {"project": "acme"} | {f"label-{number}": "v" for number in range(20)}
    metadata = (await _body(_call(tags=tags)))["requestMetadata"]
    assert len(metadata) == 16
    assert metadata["project"] == "acme"
    odd = (await _body(_call(tags={"": "no key", "Straße": "“ü”\n" + "v" * 300, "a b": "x@y:/+=,.$#_-"})))[
        "requestMetadata"
    ]
    assert odd == {"Stra_e": "____" + "v" * 252, "a b": "x@y:/+=,.$#_-"}
    described = _input().members["requestMetadata"]
    assert isinstance(described, MapShape)
    allowed = described.value.metadata["pattern"]
    assert all(re.fullmatch(allowed, text) for pair in odd.items() for text in pair)
    assert "requestMetadata" not in await _body(_call(tags={}))


async def test_equal_prompts_are_equal_bytes_up_to_the_episode() -> None:
    first = (await _sent(_call(user="FIRST"))).content
    second = (await _sent(_call(user="SECOND"))).content
    assert first.replace(b"FIRST", b"SECOND") == second


async def test_without_usable_keys_nothing_is_sent() -> None:
    fault = await _provider().prepare(_call(secret="sk-this-is-an-api-key"))
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert "sk-this" not in repr(fault)


_REFUSAL = {"message": "The model returned the following errors: output_config.format: Extra inputs are not permitted"}


async def test_where_native_output_is_refused_the_next_try_forces_a_tool_for_some_hours() -> None:
    clock = ManualClock()
    provider = BedrockProvider(clock=clock)
    call = _call(structured_output="native")
    assert "toolConfig" not in await _body(call, provider)

    fault = provider.read(call, answer(_REFUSAL, status=400, x_amzn_errortype="ValidationException:http://x/"))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.retry_after) == (FaultKind.UNAVAILABLE, 0)
    assert (await _body(call, provider))["toolConfig"] == _TOOL

    # Another region or model may offer it, and this one may again.
    assert "toolConfig" not in await _body(_call(structured_output="native", region="eu-central-1"), provider)
    assert "toolConfig" not in await _body(_call(_OLD_HAIKU, structured_output="native"), provider)
    clock.seconds += 6 * 3_600
    assert "toolConfig" not in await _body(call, provider)
