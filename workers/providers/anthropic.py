"""Anthropic: the Messages API with an API key."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.contract import ProviderKind, TokenUsage
from workers.providers import claude
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.wire import api_key, count, decode, encode, objects, part, worth_caching

#: A connection's `base_url` replaces it; like the vendor's own SDK it ends before the version path.
BASE_URL = "https://api.anthropic.com"
#: On it, sampling parameters are refused for every model; none is ever sent.
VERSION = "2026-10-21"

_QUOTA = (
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
)

_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.REFUSED, statuses=(200,), codes=("refusal",)),
    Rule(kind=FaultKind.TRUNCATED, statuses=(200,), codes=("max_tokens",)),
    # More room for the answer would not help: prompt and answer together fill the window.
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(200,), codes=("model_context_window_exceeded",)),
    Rule(kind=FaultKind.EMPTY, statuses=(200,), codes=(EMPTY,)),
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, codes=_QUOTA),
    # The one thing that the vendor tells by prose only: an empty account is a plain invalid request.
    Rule(kind=FaultKind.QUOTA_EXHAUSTED, statuses=(400,), says=("credit balance is too low",)),
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, statuses=(400,), says=("prompt is too long",)),
    # Proxies know no status 529 and send another.
    Rule(kind=FaultKind.OVERLOADED, codes=("overloaded_error",)),
    *HTTP_RULES,
)


class AnthropicProvider:
    """Speaks to api.anthropic.com."""

    kind = ProviderKind.ANTHROPIC
    rules: Sequence[Rule] = _RULES

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key cannot be sent."""
        key = api_key(call)
        if isinstance(key, Fault):
            return key
        return WireRequest(
            method="POST",
            url=f"{(call.connection.base_url or BASE_URL).rstrip('/')}/v1/messages",
            headers={"x-api-key": key, "anthropic-version": VERSION, "content-type": "application/json"},
            content=encode(messages_body(call)),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        request_id = response.headers.get("request-id")
        body = decode(response.content) or {}
        if response.status != 200:  # noqa: PLR2004 - the one status with an answer
            return read_error(call, response, self.rules)
        usage = _usage(part(body, "usage"))
        blocks = objects(body.get("content"))
        # Blocks of other types are thoughts.
        text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
        if code := _trouble(body, text):
            return fault_of(
                call,
                response,
                self.rules,
                Signal(status=200, codes=(code,)),
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


def messages_body(call: Call) -> dict[str, Any]:
    """The body of `POST /v1/messages`: JSON out, thinking off, tagged."""
    prompt, facts = call.prompt, call.model
    system: dict[str, Any] = {"type": "text", "text": prompt.system}
    if worth_caching(prompt.system, facts):
        system["cache_control"] = {"type": "ephemeral"}
    output: dict[str, Any] = {"format": {"type": "json_schema", "schema": prompt.schema}}
    if effort := claude.effort(facts):
        output["effort"] = effort
    body: dict[str, Any] = {
        "model": call.connection.model,
        "max_tokens": prompt.max_output_tokens,
        "system": [system],
        "messages": [{"role": "user", "content": prompt.user}],
        "output_config": output,
        # `auto`, the default, would spend priority capacity that the customer bought for something else.
        "service_tier": "standard_only",
    }
    if thinking := claude.thinking(facts):
        body["thinking"] = thinking
    if project := call.tags.get("project"):
        # The vendor wants it opaque, without names.
        body["metadata"] = {"user_id": hashlib.sha256(project.encode()).hexdigest()}
    return body


def read_error(call: Call, response: WireResponse, rules: Sequence[Rule]) -> Fault:
    """The fault of an answer that is not 200."""
    signal = _error(response.status, decode(response.content) or {})
    return fault_of(call, response, rules, signal, request_id=response.headers.get("request-id"))


def _error(status: int, body: Mapping[str, Any]) -> Signal:
    """What `{"type": "error", "error": {"type", "message", "details": {"error_code"}}}` says."""
    error = part(body, "error")
    named = (part(error, "details").get("error_code"), error.get("type"))
    codes = tuple(code for code in named if isinstance(code, str))
    return Signal(status=status, codes=codes or (FOREIGN,), message=str(error.get("message", "")))


def _trouble(body: Mapping[str, Any], text: str) -> str | None:
    """What stands between the body and a usable answer; None if nothing does."""
    reason = body.get("stop_reason")
    if reason == "end_turn":
        return None if text.strip() else EMPTY
    return reason if isinstance(reason, str) else FOREIGN


def _usage(usage: Mapping[str, Any]) -> TokenUsage:
    """The vendor's input count leaves out what was read from and written to the cache."""
    return TokenUsage(
        input=count(usage.get("input_tokens")),
        cached_input=count(usage.get("cache_read_input_tokens")),
        cache_write=count(usage.get("cache_creation_input_tokens")),
        output=count(usage.get("output_tokens")),
        reasoning=count(part(usage, "output_tokens_details").get("thinking_tokens")),
    )
