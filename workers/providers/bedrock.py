"""AWS Bedrock: Claude through the Converse API, signed with keys of the customer's role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from config.kinds.bedrock import DEFAULT_REGION, LABELS
from tasks.contract import ProviderKind, Tier, TokenUsage
from workers.clock import Clock
from workers.providers import claude
from workers.providers.aws_auth import AwsAuth
from workers.providers.aws_signing import sign
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.rate_limits import NO_HEADERS
from workers.providers.tiers import at_tier
from workers.providers.wire import count, decode, encode, objects, part, worth_caching

#: How region and model say that they do not enforce a schema themselves, on some days and in some accounts.
_NATIVE_REFUSED = Rule(
    kind=FaultKind.UNAVAILABLE,
    statuses=(400,),
    codes=("validationexception",),
    says=(
        "output_config.format: extra inputs are not permitted",
        "extraneous key [outputconfig] is not permitted",
        "compilation exceeded limits: schema is too complex",
    ),
)
#: How long such a refusal is believed.
_NATIVE_AGAIN = timedelta(hours=6)

_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.REFUSED, statuses=(200,), codes=("guardrail_intervened", "content_filtered", "refusal")),
    Rule(kind=FaultKind.TRUNCATED, statuses=(200,), codes=("max_tokens",)),
    # More room for the answer would not help: prompt and answer together fill the window.
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(200,), codes=("model_context_window_exceeded",)),
    Rule(kind=FaultKind.EMPTY, statuses=(200,), codes=(EMPTY,)),
    _NATIVE_REFUSED,
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(400,), says=("input is too long", "prompt is too long")),
    # The bare id of a model, where only an inference profile of it can be called; or no id at all.
    Rule(
        kind=FaultKind.MODEL_NOT_FOUND,
        statuses=(400,),
        says=("on-demand throughput isn", "provided model identifier is invalid"),
    ),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, codes=("servicequotaexceededexception",)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(429,), says=("per day",)),
    # Not the account's limits: the model is still being loaded.
    Rule(kind=FaultKind.UNAVAILABLE, codes=("modelnotreadyexception",)),
    Rule(kind=FaultKind.CREDENTIAL_EXPIRED, codes=("expiredtokenexception", "expiredtoken")),
    # The clock is wrong that signatures are made by, in a worker the broker's: no fault of the customer's keys.
    Rule(
        kind=FaultKind.UNAVAILABLE,
        codes=("invalidsignatureexception",),
        says=("signature expired", "signature not yet current"),
    ),
    Rule(
        kind=FaultKind.CREDENTIAL_REJECTED,
        codes=(
            "unrecognizedclientexception",
            "invalidsignatureexception",
            "incompletesignatureexception",
            "missingauthenticationtoken",
            "missingauthenticationtokenexception",
        ),
    ),
    # The agreement behind a model that was just enabled takes some minutes; nobody has to mend anything.
    Rule(kind=FaultKind.OVERLOADED, statuses=(403,), says=("mpagreementbeingcreated",)),
    Rule(kind=FaultKind.MODEL_NOT_FOUND, statuses=(403,), says=("access to the model",)),
    Rule(kind=FaultKind.ENDPOINT_INVALID, codes=("unknownoperationexception",)),
    Rule(kind=FaultKind.UNAVAILABLE, codes=("modelerrorexception",)),
    Rule(kind=FaultKind.OVERLOADED, codes=("serviceunavailableexception",)),
    *HTTP_RULES,
)


class BedrockProvider:
    """Speaks to bedrock-runtime of the connection's region."""

    kind = ProviderKind.BEDROCK
    rules: Sequence[Rule] = _RULES

    def __init__(self, *, clock: Clock, auth: AwsAuth | None = None) -> None:
        self._clock = clock
        self._auth = auth or AwsAuth(clock=clock)
        #: Region and model → until when native output is not asked for.
        self._no_native: dict[tuple[str, str], datetime] = {}

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request, signed; a fault if there are no keys to sign with."""
        keys = await self._auth.keys(call)
        if isinstance(keys, Fault):
            return keys
        region = _region(call)
        base_url = call.connection.base_url or f"https://bedrock-runtime.{region}.amazonaws.com"
        # Colons stay: aiohttp would turn %3A back into one, and what is signed must be what is sent.
        url = f"{base_url.rstrip('/')}/model/{quote(call.connection.model, safe=':')}/converse"
        content = encode(_body(call, native=self._native(call)))
        headers = sign(url=url, content=content, keys=keys, service="bedrock", region=region, at=self._clock.now())
        return WireRequest(method="POST", url=url, headers=headers, content=content)

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        request_id = response.headers.get("x-amzn-requestid")
        body = decode(response.content) or {}
        if response.status != 200:  # noqa: PLR2004 - the one status with an answer
            signal = _error(response, body)
            fault = fault_of(call, response, self.rules, signal, request_id=request_id)
            if fault.kind is FaultKind.PERMISSION_DENIED:
                # Customers revoke sessions by a policy; the next call shows whether a new one may do it.
                self._auth.forget(call)
            return self._native_refusal(call, fault) if _NATIVE_REFUSED.matches(signal) else fault
        usage = _usage(part(body, "usage"))
        text = _answer(objects(part(body, "output", "message").get("content")))
        if code := _trouble(body, text):
            signal = Signal(status=200, codes=(code,))
            fault = fault_of(call, response, self.rules, signal, request_id=request_id, usage=usage, text=text)
            return at_tier(fault, call, part(body, "serviceTier").get("type"))
        reply = Reply(text=text, usage=usage, request_id=safe_word(request_id, call, limit=128))
        return at_tier(reply, call, part(body, "serviceTier").get("type"))

    def forget(self, call: Call) -> bool:
        """Drop the session that AWS refused; True when another try would be signed with a new one."""
        return self._auth.forget(call)

    def _native(self, call: Call) -> bool:
        if call.connection.structured_output != "native":
            return False
        until = self._no_native.get((_region(call), call.connection.model))
        return until is None or self._clock.now() >= until

    def _native_refusal(self, call: Call, fault: Fault) -> Fault:
        """Ask for a tool call from now on; the same call is worth another try at once."""
        self._no_native[_region(call), call.connection.model] = self._clock.now() + _NATIVE_AGAIN
        return replace(
            fault,
            message="bedrock does not enforce the schema for this model in this region; a forced tool call follows.",
            retry_after=0,
        )


def _region(call: Call) -> str:
    return call.connection.region or DEFAULT_REGION


def _body(call: Call, *, native: bool) -> dict[str, Any]:
    prompt, facts = call.prompt, call.model
    system: list[dict[str, Any]] = [{"text": prompt.system}]
    if worth_caching(prompt.system, facts):
        system.append({"cachePoint": {"type": "default"}})
    body: dict[str, Any] = {
        "system": system,
        "messages": [{"role": "user", "content": [{"text": prompt.user}]}],
        # Never left out: the vendor would reserve the model's maximum from the account's quota for each call.
        "inferenceConfig": {"maxTokens": prompt.max_output_tokens},
    }
    output: dict[str, Any] = {}
    if native:
        schema = json.dumps(prompt.schema, ensure_ascii=False, separators=(",", ":"))
        output["textFormat"] = {
            "type": "json_schema",
            "structure": {"jsonSchema": {"name": prompt.schema_name, "schema": schema}},
        }
    else:
        # Not `strict`, which the vendor refuses for the same models as native output.
        tool = {
            "name": prompt.schema_name,
            "description": "Takes the complete answer. Call it exactly once.",
            "inputSchema": {"json": prompt.schema},
        }
        body["toolConfig"] = {
            "tools": [{"toolSpec": tool}],
            "toolChoice": {"tool": {"name": prompt.schema_name}},
        }
    if effort := claude.effort(facts):
        output["effort"] = effort
    if output:
        body["outputConfig"] = output
    if thinking := claude.thinking(facts):
        body["additionalModelRequestFields"] = {"thinking": thinking}
    if call.tier is Tier.FLEX:
        body["serviceTier"] = {"type": "flex"}
    if metadata := LABELS.fit(call.tags):
        body["requestMetadata"] = metadata
    return body


def _error(response: WireResponse, body: Mapping[str, Any]) -> Signal:
    """The code is `Code:http://…` in a header, or `namespace#Code` in the body; the prose is in the body."""
    named = response.headers.get("x-amzn-errortype") or body.get("__type")
    message = body.get("message") or body.get("Message") or ""
    codes = (named.split(":", 1)[0].rsplit("#", 1)[-1],) if isinstance(named, str) else (FOREIGN,)
    return Signal(status=response.status, codes=codes, message=str(message))


def _answer(blocks: Sequence[Mapping[str, Any]]) -> str:
    """The input of the tool call, or else the text; blocks of other kinds are thoughts."""
    for block in blocks:
        if "toolUse" in block:
            given = part(block, "toolUse").get("input")
            return "" if given is None else json.dumps(given, ensure_ascii=False)
    return "".join(str(block.get("text", "")) for block in blocks)


def _trouble(body: Mapping[str, Any], text: str) -> str | None:
    """What stands between the body and a usable answer; None if nothing does."""
    reason = body.get("stopReason")
    if reason in {"tool_use", "end_turn"}:
        return None if text.strip() else EMPTY
    return reason if isinstance(reason, str) else FOREIGN


def _usage(usage: Mapping[str, Any]) -> TokenUsage:
    """The vendor's input count leaves out the cache; thinking is not broken out."""
    return TokenUsage(
        input=count(usage.get("inputTokens")),
        cached_input=count(usage.get("cacheReadInputTokens")),
        cache_write=count(usage.get("cacheWriteInputTokens")),
        output=count(usage.get("outputTokens")),
    )


DIALECT = Dialect(
    provider=lambda means: BedrockProvider(clock=means.clock),
    batches=None,
    limit_headers=NO_HEADERS,
    shares_capacity=True,
    listing=None,
    report=None,
)
