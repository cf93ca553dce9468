"""boto3 is the judge: it must read the simulator as it reads the vendor, and its signatures must be accepted."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from pydantic import SecretStr

from tasks.contract import ProviderKind
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Reason, Simulator, Usage
from workers.embedded.simulator.wire import stand_in
from workers.embedded.simulator.wire.aws_signature import Identity, simulated_credential, simulated_secret
from workers.embedded.simulator.wire.bedrock import BedrockConverse

ACCESS_KEY_ID = "AKIASIMULATED0000001"
HAIKU = "global.anthropic.claude-haiku-5-5"
OLD_HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
TEXT = "Ada Byron lives in London. She met Tom Kyle."
SYSTEM = "Extract the entities. " * 200
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"entities": {"type": "array", "items": {"type": "string"}}},
    "required": ["entities"],
    "additionalProperties": False,
}

Converse = Callable[..., Any]


def _converse(url: str, secret: str, *, token: str | None = None, access_key_id: str = ACCESS_KEY_ID) -> Converse:
    """boto3's own client, off the loop."""
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )
    # The stubs describe the call as keyword by keyword; here it gets whole requests.
    call: Callable[..., Any] = client.converse

    async def converse(request: dict[str, Any]) -> Any:
        return await asyncio.to_thread(lambda: call(**request))

    return converse


@pytest.fixture
async def bedrock() -> AsyncIterator[Simulator]:
    account = Account(key=SecretStr(ACCESS_KEY_ID), rpm=600, tpm=60_000)
    options = Options(accounts=(account,), permissive=False, latency=Latency.fixed(0), seed=1)
    async with Simulator(options) as running:
        yield running


@pytest.fixture
def converse(bedrock: Simulator) -> Converse:
    return _converse(bedrock.base_urls["bedrock"], simulated_secret(ACCESS_KEY_ID))


def _request(**more: Any) -> dict[str, Any]:
    return {
        "modelId": HAIKU,
        "system": [{"text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"text": TEXT}]}],
        "inferenceConfig": {"maxTokens": 2_000},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "save", "inputSchema": {"json": SCHEMA}}}],
            "toolChoice": {"tool": {"name": "save"}},
        },
        "additionalModelRequestFields": {"thinking": {"type": "disabled"}},
        "requestMetadata": {"project": "acme"},
        **more,
    }


def _native(**more: Any) -> dict[str, Any]:
    request = _request(**more)
    del request["toolConfig"]
    structure = {"jsonSchema": {"name": "save", "schema": json.dumps(SCHEMA)}}
    request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    return request


def _check_shape(response: dict[str, Any]) -> None:
    """The response has all that the vendor's description requires, and nothing that it does not know."""
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
    shape = model.operation_model("Converse").output_shape
    assert shape is not None
    body = {name: value for name, value in response.items() if name != "ResponseMetadata"}
    assert ParamValidator().validate(body, shape).generate_report() == ""


@pytest.mark.parametrize("model", [HAIKU, "eu.anthropic.claude-haiku-5-5", PROFILE])
async def test_a_forced_tool_gets_the_answer_as_its_input(converse: Converse, bedrock: Simulator, model: str) -> None:
    response = await converse(_request(modelId=model))
    _check_shape(response)
    assert response["stopReason"] == "tool_use"
    (block,) = response["output"]["message"]["content"]
    assert block["toolUse"]["name"] == "save"
    assert "Ada Byron" in block["toolUse"]["input"]["entities"]
    (entry,) = bedrock.books().entries
    usage = response["usage"]
    assert entry.usage == Usage(input=usage["inputTokens"], output=usage["outputTokens"])
    assert usage["totalTokens"] == entry.usage.total
    assert (entry.model, entry.tags, entry.vendor) == (model, {"project": "acme"}, "bedrock")
    assert response["ResponseMetadata"]["RequestId"] in entry.request_id


async def test_a_model_id_with_a_colon_is_signed_as_it_is_sent(converse: Converse) -> None:
    request = _request(modelId=OLD_HAIKU)
    del request["additionalModelRequestFields"]
    assert (await converse(request))["stopReason"] == "tool_use"


async def test_native_output_is_text_where_the_model_has_it(converse: Converse) -> None:
    response = await converse(_native())
    _check_shape(response)
    assert response["stopReason"] == "end_turn"
    (block,) = response["output"]["message"]["content"]
    assert "Ada Byron" in json.loads(block["text"])["entities"]
    refused = _native(modelId=OLD_HAIKU)
    del refused["additionalModelRequestFields"]
    with pytest.raises(ClientError, match=r"output_config.format: Extra inputs are not permitted"):
        await converse(refused)


async def test_a_cache_point_writes_the_system_prompt_once_and_then_reads_it(converse: Converse) -> None:
    request = _request(system=[{"text": SYSTEM}, {"cachePoint": {"type": "default"}}])
    first = (await converse(request))["usage"]
    second = (await converse(request))["usage"]
    assert first["cacheWriteInputTokens"] > 0
    assert (first["cacheReadInputTokens"], second["cacheWriteInputTokens"]) == (0, 0)
    assert second["cacheReadInputTokens"] == first["cacheWriteInputTokens"]
    assert first["inputTokens"] == second["inputTokens"]


async def test_without_a_cap_the_models_own_holds(converse: Converse, bedrock: Simulator) -> None:
    """The vendor then reserves all of it from the quota."""
    bedrock.put_account(Account(key=SecretStr(ACCESS_KEY_ID), tpm=60_000, charge="max_output"))
    with pytest.raises(ClientError) as limited:
        await converse(_request(inferenceConfig={}))
    assert limited.value.response["Error"]["Code"] == "ThrottlingException"
    await converse(_request())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"modelId": "anthropic.claude-haiku-5-5"}, "on-demand throughput isn’t supported"),  # noqa: RUF001 - the vendor's apostrophe
        ({"modelId": "global.anthropic.claude-nano"}, "The provided model identifier is invalid."),
        ({"inferenceConfig": {"maxTokens": 128_001}}, "exceeds the model limit of 128000"),
        ({"inferenceConfig": {"maxTokens": 9, "temperature": 0.5}}, "extraneous key [temperature] is not permitted"),
        ({"additionalModelRequestFields": {"retain": False}}, "extraneous key [retain] is not permitted"),
        ({"additionalModelRequestFields": {"thinking": {"type": "between_tools"}}}, "thinking.type.between_tools"),
        ({"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}}, "forces tool use"),
        ({"modelId": "us.anthropic.claude-sonnet-5-5", "additionalModelRequestFields": {}}, "forcing a tool call"),
        ({"requestMetadata": {"k": "ü"}}, "requestMetadata"),
        ({"requestMetadata": {f"k{number}": "v" for number in range(17)}}, "requestMetadata"),
        (
            {
                "toolConfig": {
                    "tools": [{"toolSpec": {"name": "n", "inputSchema": {"json": SCHEMA}, "strict": True}}],
                    "toolChoice": {"any": {}},
                }
            },
            "tools.0.custom.strict: Extra inputs are not permitted",
        ),
    ],
)
async def test_what_the_vendor_refuses_is_refused_in_its_way(
    converse: Converse, bedrock: Simulator, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClientError) as refused:
        await converse(_request(**change))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert says in refused.value.response["Error"]["Message"]
    assert bedrock.books().served == 0


async def test_schemas_that_the_model_cannot_enforce_are_refused(converse: Converse) -> None:
    request = _native()
    structure = {"jsonSchema": {"schema": json.dumps({"type": "object", "properties": {}})}}
    request["outputConfig"]["textFormat"]["structure"] = structure
    with pytest.raises(ClientError, match="additionalProperties"):
        await converse(request)


_FAULTS: list[tuple[dict[str, Any], int, str]] = [
    ({"status": 400}, 400, "ValidationException"),
    ({"reason": Reason.WRONG_KEY}, 403, "UnrecognizedClientException"),
    ({"reason": Reason.EXPIRED_KEY}, 403, "ExpiredTokenException"),
    ({"status": 403}, 403, "AccessDeniedException"),
    ({"status": 404}, 404, "ResourceNotFoundException"),
    ({"status": 408}, 408, "ModelTimeoutException"),
    ({"status": 424}, 424, "ModelErrorException"),
    ({"status": 429}, 429, "ThrottlingException"),
    ({"status": 429, "code": "ModelNotReadyException"}, 429, "ModelNotReadyException"),
    ({"reason": Reason.QUOTA_EXHAUSTED}, 429, "ThrottlingException"),
    ({"status": 500}, 500, "InternalServerException"),
    ({"status": 503}, 503, "ServiceUnavailableException"),
]


@pytest.mark.parametrize(("fault", "status", "code"), _FAULTS)
async def test_an_injected_error_is_botos_own_exception(
    converse: Converse, bedrock: Simulator, fault: dict[str, Any], status: int, code: str
) -> None:
    bedrock.add_fault(FaultRule(kind=Injection.STATUS, **fault))
    with pytest.raises(ClientError) as raised:
        await converse(_request())
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["Error"]["Message"]
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


async def test_a_used_up_limit_is_throttled_without_a_word_about_the_limit(
    converse: Converse, bedrock: Simulator
) -> None:
    bedrock.put_account(Account(key=SecretStr(ACCESS_KEY_ID), rpm=1))
    headers = (await converse(_request()))["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in headers if "limit" in name or "retry" in name]
    with pytest.raises(ClientError, match="Too many requests"):
        await converse(_request())


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        (Injection.REFUSAL, "content_filtered"),
        (Injection.TRUNCATED, "max_tokens"),
        (Injection.EMPTY, "end_turn"),
        (Injection.MALFORMED, "malformed_tool_use"),
        (Injection.WRONG_SCHEMA, "tool_use"),
    ],
)
async def test_a_spoilt_answer_is_still_a_message_and_billed(
    converse: Converse, bedrock: Simulator, kind: Injection, stop: str
) -> None:
    bedrock.add_fault(FaultRule(kind=kind))
    response = await converse(_request())
    _check_shape(response)
    assert response["stopReason"] == stop
    assert bedrock.books().served == 1


async def test_a_wrong_secret_is_a_signature_that_does_not_match(bedrock: Simulator) -> None:
    with pytest.raises(ClientError) as refused:
        await _converse(bedrock.base_urls["bedrock"], "wrong")(_request())
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"


async def test_an_access_key_without_an_account_is_not_recognised(bedrock: Simulator) -> None:
    url, stranger = bedrock.base_urls["bedrock"], "AKIASIMULATED0000009"
    with pytest.raises(ClientError) as refused:
        await _converse(url, simulated_secret(stranger), access_key_id=stranger)(_request())
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


async def test_a_credential_of_the_simulator_holds_the_secret_of_its_key() -> None:
    assert json.loads(simulated_credential(ACCESS_KEY_ID)) == {
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": simulated_secret(ACCESS_KEY_ID),
    }


async def test_sessions_are_accepted_from_whoever_a_resolver_knows_and_for_their_account_only() -> None:
    known = {
        "ASIASESSION000000001": Identity(
            secret_access_key=SecretStr("s-1"), session_token=SecretStr("t-1"), account="customer"
        )
    }
    mount = replace(stand_in(ProviderKind.BEDROCK), wire=BedrockConverse(resolve=known.get))
    options = Options(accounts=(Account(key=SecretStr("customer")),), permissive=False, latency=Latency.fixed(0))
    async with Simulator(options, mounts=(mount,)) as simulator:
        url = simulator.base_urls["bedrock"]

        async def attempt(secret: str, token: str | None) -> Any:
            return await _converse(url, secret, token=token, access_key_id="ASIASESSION000000001")(_request())

        await attempt("s-1", "t-1")
        for secret, token, code in (
            ("s-2", "t-1", "InvalidSignatureException"),
            ("s-1", "t-2", "UnrecognizedClientException"),
            ("s-1", None, "UnrecognizedClientException"),
        ):
            with pytest.raises(ClientError) as refused:
                await attempt(secret, token)
            assert refused.value.response["Error"]["Code"] == code
        assert simulator.books().served == 1


async def test_a_signature_of_yesterday_is_expired() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    wire = BedrockConverse(now=lambda: tomorrow)
    mount = replace(stand_in(ProviderKind.BEDROCK), wire=wire)
    async with Simulator(Options(latency=Latency.fixed(0)), mounts=(mount,)) as simulator:
        with pytest.raises(ClientError, match="Signature expired"):
            await _converse(simulator.base_urls["bedrock"], simulated_secret(ACCESS_KEY_ID))(_request())
