"""What single calls and batches of the Messages API have in common. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from config.kinds.anthropic import KIND
from workers.providers import claude
from workers.providers.base import Call, Fault, WireResponse
from workers.providers.faults import FOREIGN, Rule, Signal, fault_of
from workers.providers.rate_limits import ANTHROPIC_HEADERS
from workers.providers.wire import decode, part, worth_caching

#: On it, sampling parameters are refused for every model; none is ever sent.
VERSION = "2026-10-21"


def base_url(call: Call) -> str:
    """The connection's own address, else the vendor's; like in the vendor's SDK it ends before the version path."""
    return (call.connection.base_url or KIND.public_url or "").rstrip("/")


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
    request_id = response.headers.get("request-id")
    return fault_of(call, response, rules, signal, limits=ANTHROPIC_HEADERS, request_id=request_id)


def _error(status: int, body: Mapping[str, Any]) -> Signal:
    """What `{"type": "error", "error": {"type", "message", "details": {"error_code"}}}` says."""
    error = part(body, "error")
    named = (part(error, "details").get("error_code"), error.get("type"))
    codes = tuple(code for code in named if isinstance(code, str))
    return Signal(status=status, codes=codes or (FOREIGN,), message=str(error.get("message", "")))
