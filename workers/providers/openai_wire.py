"""OpenAI's wire format, as OpenAI and Azure OpenAI share it: the Responses API, its errors and its usage. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.catalogue import ReasoningOff
from config.kinds.openai import LABELS
from tasks.contract import Tier, TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Reply, WireResponse
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.rate_limits import OPENAI_HEADERS
from workers.providers.tiers import at_tier
from workers.providers.wire import decode, inclusive_usage, objects, part, worth_caching

#: Billing, by `error.code`; the first four share the type `insufficient_quota`. All come as HTTP 429.
_QUOTA = (
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "insufficient_quota",
    "billing_hard_limit_reached",
)
_POLICY = (
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
    "content_policy_violation",
    "content_filter",
)

#: Errors by code, whether they come with an HTTP status or inside a response whose status is `failed`.
ERROR_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, codes=_QUOTA),
    Rule(kind=FaultKind.REFUSED, codes=_POLICY),
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, codes=("context_length_exceeded", "string_above_max_length")),
    Rule(kind=FaultKind.MODEL_NOT_FOUND, codes=("model_not_found",)),
    Rule(kind=FaultKind.CREDENTIAL_REJECTED, codes=("invalid_api_key",)),
    # A restricted key without the permission: no code, and the status of a bad key.
    Rule(kind=FaultKind.PERMISSION_DENIED, statuses=(401,), says=("missing scopes",)),
    Rule(kind=FaultKind.ENDPOINT_INVALID, codes=("data_residency_mismatch", "incorrect_hostname")),
    # `slow_down` is the limit on how fast a load may grow; it can come as 503.
    Rule(kind=FaultKind.RATE_LIMITED, codes=("rate_limit_exceeded", "slow_down")),
    Rule(kind=FaultKind.OVERLOADED, codes=("server_is_overloaded", "resource_unavailable")),
)

#: All that a Responses call can come to.
RESPONSES_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.REFUSED, statuses=(200,), codes=("refusal",)),
    Rule(kind=FaultKind.TRUNCATED, statuses=(200,), codes=("max_output_tokens",)),
    Rule(kind=FaultKind.EMPTY, statuses=(200,), codes=(EMPTY,)),
    *ERROR_RULES,
    Rule(kind=FaultKind.UNAVAILABLE, statuses=(200,), codes=("failed", "cancelled")),
    *HTTP_RULES,
)


def responses_body(call: Call) -> dict[str, Any]:
    """The body of `POST …/responses`: strict JSON out, nothing stored, reasoning off, tagged."""
    prompt, facts = call.prompt, call.model
    system: dict[str, Any] = {"type": "input_text", "text": prompt.system}
    body: dict[str, Any] = {
        "model": call.connection.model,
        "store": False,
        # `auto`, the default, would follow a setting of the customer's project, and the price with it.
        "service_tier": "flex" if call.tier is Tier.FLEX else "default",
        "input": [
            # Not `instructions`: those cannot carry a cache breakpoint.
            {"role": "developer", "content": [system]},
            {"role": "user", "content": [{"type": "input_text", "text": prompt.user}]},
        ],
        "text": {
            "format": {
                "type": "json_schema",
                "name": prompt.schema_name,
                "strict": True,
                "schema": prompt.schema,
            }
        },
        "max_output_tokens": prompt.max_output_tokens,
        "prompt_cache_key": prompt.version,
    }
    if facts.reasoning in {ReasoningOff.OFF, ReasoningOff.LOWEST}:
        body["reasoning"] = {"effort": facts.reasoning_value}
    if facts.explicit_cache:
        # Left to itself the vendor would also write each episode to its cache, at 1.25 times the price.
        body["prompt_cache_options"] = {"mode": "explicit"}
        if worth_caching(prompt.system, facts):
            system["prompt_cache_breakpoint"] = {"mode": "explicit"}
    if call.tags:
        body["metadata"] = LABELS.fit(call.tags)
    if project := call.tags.get("project"):
        body["safety_identifier"] = hashlib.sha256(project.encode()).hexdigest()
    return body


def read_responses(call: Call, response: WireResponse, rules: Sequence[Rule]) -> Reply | Fault:
    """What a Responses call came to."""
    answer = _read(call, response, rules)
    if call.tier is None:
        return answer
    return at_tier(answer, call, (decode(response.content) or {}).get("service_tier"))


def _read(call: Call, response: WireResponse, rules: Sequence[Rule]) -> Reply | Fault:
    # The first is Azure's, and the one that its support asks for.
    request_id = response.headers.get("apim-request-id") or response.headers.get("x-request-id")
    if response.status != 200:  # noqa: PLR2004 - the one status with an answer
        return read_error(call, response, rules, request_id=request_id)
    body = decode(response.content)
    if body is None or not isinstance(body.get("output", []), list):
        return fault_of(call, response, rules, Signal(status=200, codes=(FOREIGN,)), request_id=request_id)
    usage = _usage(part(body, "usage"))
    contents = [
        content
        for item in objects(body.get("output"))
        if item.get("type") == "message"
        for content in objects(item.get("content"))
    ]
    text = "".join(str(content.get("text", "")) for content in contents if content.get("type") == "output_text")
    codes = _trouble(body, contents, text)
    if codes:
        return fault_of(
            call,
            response,
            rules,
            Signal(status=200, codes=codes),
            request_id=request_id,
            served_model=body.get("model"),
            usage=usage,
            text=text,
        )
    return Reply(
        text=text,
        usage=usage,
        served_model=safe_word(body.get("model"), call, limit=128),
        request_id=safe_word(request_id, call, limit=128),
    )


def _trouble(body: Mapping[str, Any], contents: Sequence[Mapping[str, Any]], text: str) -> tuple[str, ...]:
    """What stands between the body and a usable answer; empty if nothing does."""
    if any(content.get("type") == "refusal" for content in contents):
        return ("refusal",)
    match body.get("status"):
        case "completed":
            return () if text.strip() else (EMPTY,)
        case "incomplete":
            return (str(part(body, "incomplete_details").get("reason")),)
        case "failed" | "cancelled" as status:
            return (*_codes(part(body, "error")), status)
    return (FOREIGN,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Error:
    codes: tuple[str, ...]
    message: str
    parameter: object


def read_error(call: Call, response: WireResponse, rules: Sequence[Rule], *, request_id: str | None) -> Fault:
    """The fault of an answer that is not 200: `{"error": {"message", "type", "param", "code"}}`."""
    error = _error(response.content)
    return fault_of(
        call,
        response,
        rules,
        Signal(status=response.status, codes=error.codes, message=error.message),
        parameter=error.parameter,
        limits=OPENAI_HEADERS,
        request_id=request_id,
    )


def _error(content: bytes) -> _Error:
    body = decode(content) or {}
    error = body.get("error")
    if isinstance(error, str):
        return _Error(codes=(), message=error, parameter=None)
    # Some compatible servers and gateways leave out the envelope.
    fields = error if isinstance(error, dict) else body
    codes = _codes(fields)
    message = fields.get("message")
    if not codes and not isinstance(message, str):
        return _Error(codes=(FOREIGN,), message="", parameter=None)
    return _Error(codes=codes, message=str(message), parameter=fields.get("param"))


def _codes(error: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(code for name in ("code", "type") if isinstance(code := error.get(name), str))


def _usage(usage: Mapping[str, Any]) -> TokenUsage:
    details = part(usage, "input_tokens_details")
    return inclusive_usage(
        total_input=usage.get("input_tokens"),
        cached=details.get("cached_tokens"),
        written=details.get("cache_write_tokens"),
        output=usage.get("output_tokens"),
        reasoning=part(usage, "output_tokens_details").get("reasoning_tokens"),
    )
