"""Any server that speaks OpenAI's Chat Completions: vLLM, llama.cpp, Ollama, a gateway.

Only the fields that all of them know are sent: some ignore what they don't know, others refuse it. Reasoning and
retention have no field that these servers share; they are set where the server is run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.contract import ProviderKind, TokenUsage
from workers.providers.base import Call, Fault, FaultKind, Reply, WireRequest, WireResponse
from workers.providers.dialect import Dialect
from workers.providers.faults import EMPTY, FOREIGN, HTTP_RULES, Rule, Signal, fault_of, safe_word
from workers.providers.listing import Listing
from workers.providers.openai_wire import ERROR_RULES, read_error
from workers.providers.rate_limits import OPENAI_HEADERS
from workers.providers.wire import api_key, decode, encode, inclusive_usage, objects, part

_RULES: tuple[Rule, ...] = (
    Rule(kind=FaultKind.REFUSED, statuses=(200,), codes=("refusal", "content_filter")),
    Rule(kind=FaultKind.TRUNCATED, statuses=(200,), codes=("length",)),
    Rule(kind=FaultKind.EMPTY, statuses=(200,), codes=(EMPTY,)),
    # llama.cpp has a type for it, in newer versions; vLLM and older llama.cpp say it in prose only.
    Rule(kind=FaultKind.CONTEXT_TOO_LONG, codes=("exceed_context_size_error",)),
    Rule(
        kind=FaultKind.CONTEXT_TOO_LONG,
        statuses=(400, 500),
        says=("maximum context length", "available context size", "context size has been exceeded"),
    ),
    # LiteLLM's proxy, with a 400.
    Rule(kind=FaultKind.CREDENTIAL_EXPIRED, codes=("expired_key",)),
    *ERROR_RULES,
    *HTTP_RULES,
)


class OpenAICompatibleProvider:
    """Speaks Chat Completions to the connection's own server."""

    kind = ProviderKind.OPENAI_COMPATIBLE
    rules: Sequence[Rule] = _RULES

    async def prepare(self, call: Call) -> WireRequest | Fault:
        """The request; a fault if the key cannot be sent. Without a credential none is sent."""
        headers = {"content-type": "application/json"}
        if call.credential is not None:
            key = api_key(call)
            if isinstance(key, Fault):
                return key
            headers["authorization"] = f"Bearer {key}"
        return WireRequest(
            method="POST",
            url=f"{(call.connection.base_url or '').rstrip('/')}/chat/completions",
            headers=headers,
            content=encode(_body(call)),
        )

    def read(self, call: Call, response: WireResponse) -> Reply | Fault:
        """What the response says."""
        request_id = response.headers.get("x-request-id")
        body = decode(response.content) or {}
        choices = objects(body.get("choices"))
        if response.status != 200 or not choices:  # noqa: PLR2004 - though some send errors with it, too
            return read_error(call, response, self.rules, request_id=request_id)
        usage = _usage(part(body, "usage"))
        code = _trouble(choices[0])
        if code is not None:
            return fault_of(
                call,
                response,
                self.rules,
                Signal(status=200, codes=(code,)),
                request_id=request_id,
                served_model=body.get("model"),
                usage=usage,
                text=content if isinstance(content := part(choices[0], "message").get("content"), str) else "",
            )
        return Reply(
            text=part(choices[0], "message")["content"],
            usage=usage,
            served_model=safe_word(body.get("model"), call, limit=128),
            request_id=safe_word(request_id, call, limit=128),
        )


def _body(call: Call) -> dict[str, Any]:
    prompt = call.prompt
    return {
        "model": call.connection.model,
        "messages": [
            # Not `developer`: the chat templates of open models know `system` only.
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": prompt.schema_name, "strict": True, "schema": prompt.schema},
        },
        # Not `max_completion_tokens`: a server too old to know that name would write without bound, while all of
        # them still read this one. Only OpenAI's own reasoning models refuse it, and those have their own provider.
        "max_tokens": prompt.max_output_tokens,
    }


def _trouble(choice: Mapping[str, Any]) -> str | None:
    """What stands between the choice and a usable answer; None if nothing does."""
    message = part(choice, "message")
    reason = choice.get("finish_reason")
    content = message.get("content")
    if message.get("refusal"):
        return "refusal"
    if reason in {"length", "content_filter"}:
        return str(reason)
    if content is not None and not isinstance(content, str):
        return FOREIGN
    return None if content and content.strip() else EMPTY


def _usage(usage: Mapping[str, Any]) -> TokenUsage:
    """Zeros where the server counts nothing."""
    details = part(usage, "prompt_tokens_details")
    return inclusive_usage(
        total_input=usage.get("prompt_tokens"),
        cached=details.get("cached_tokens"),
        written=details.get("cache_write_tokens"),
        output=usage.get("completion_tokens"),
        reasoning=part(usage, "completion_tokens_details").get("reasoning_tokens"),
    )


DIALECT = Dialect(
    provider=lambda _: OpenAICompatibleProvider(),
    batches=None,
    limit_headers=OPENAI_HEADERS,
    shares_capacity=False,
    listing=Listing(mark="/chat/completions", path="/models", certain=False),
    report=None,
)
