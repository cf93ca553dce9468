"""Anthropic: the Messages API with an API key."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.contract import ProviderKind, TokenUsage
from workers.providers.anthropic_batches import AnthropicBatches
from workers.providers.anthropic_report import read_report
from workers.providers.anthropic_wire import VERSION, base_url, messages_body, read_error
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.listing import Listing
from workers.providers.rate_limits import ANTHROPIC_HEADERS
from workers.providers.wire import api_key, count, decode, encode, objects, part

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
            url=f"{base_url(call)}/v1/messages",
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


DIALECT = Dialect(
    provider=lambda _: AnthropicProvider(),
    batches=lambda _: AnthropicBatches(AnthropicProvider()),
    limit_headers=ANTHROPIC_HEADERS,
    shares_capacity=False,
    listing=Listing(
        mark="/messages",
        path="/models?limit=1000",
        certain=True,
        page="after_id",
        cursor=lambda body: body.get("last_id") if body.get("has_more") is True else None,
    ),
    report=read_report,
)
