"""Anthropic's Messages API: `POST /v1/messages`, counting of tokens, and the listing of models."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import (
    Answer,
    CachePlan,
    Finish,
    Incoming,
    Outgoing,
    Question,
    Reason,
    Receipt,
    Rejection,
)
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.tokens import count
from workers.embedded.simulator.wire.anthropic_errors import error_of, json_response
from workers.embedded.simulator.wire.anthropic_models import listed, page
from workers.embedded.simulator.wire.anthropic_request import (
    Content,
    CountRequest,
    MessagesRequest,
    TextBlock,
    Tool,
)
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.claude_facts import MODELS, Facts, thinking_tokens
from workers.embedded.simulator.wire.claude_schema import fault_of

ORGANISATION = "00000000-0000-4000-8000-000000000000"
VERSIONS = ("2023-06-01", "2026-10-21")
_TTL = {"5m": 300.0, "1h": 3_600.0}

_Request = TypeVar("_Request", bound=CountRequest)


class AnthropicMessages:
    """The wire format of the Messages API."""

    routes: ClassVar[tuple[Route, ...]] = (
        Route(method="POST", path="/v1/messages", operation=Operation.ANSWER),
        Route(method="POST", path="/v1/messages/count_tokens", operation=Operation.LOOKUP),
        Route(method="GET", path="/v1/models", operation=Operation.LOOKUP),
        Route(method="GET", path="/v1/models/{model}", operation=Operation.LOOKUP),
    )
    needs_key = True

    def credential(self, incoming: Incoming) -> str | None:
        """`x-api-key`, else the bearer token that newer SDKs send."""
        scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else ""
        return (incoming.headers.get("x-api-key") or bearer).strip() or None

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks."""
        request = _validated(incoming, MessagesRequest)
        facts = _facts(request.model)
        if request.max_tokens > facts.max_output:
            raise _bad(
                f"max_tokens: {request.max_tokens} > {facts.max_output}, which is the maximum allowed number of output "
                f"tokens for {request.model}"
            )
        tool = _forced_tool(request)
        output = request.output_config.format
        schema = tool.input_schema if tool else output.schema_ if output else None
        if schema and (tool is None or tool.strict) and (wrong := fault_of(schema)):
            raise _bad(f"{'tools.0.custom' if tool else 'output_config.format.schema'}: {wrong}")
        return Question(
            model=request.model,
            system=_text(request.system or ""),
            user="\n\n".join(_text(message.content) for message in request.messages),
            schema=schema,
            schema_tokens=count(json.dumps(schema, separators=(",", ":"))) if schema else 0,
            tool=tool.name if tool else None,
            max_output_tokens=request.max_tokens,
            reasoning_tokens=_thinking_tokens(request, facts),
            context=facts.context,
            cache=_cache_plan(request, facts),
            tags={"user_id": request.metadata.user_id} if request.metadata.user_id else {},
        )

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """A message with one block."""
        content, reason = _content(question, answer, receipt)
        refused = {"type": "refusal", "category": None, "explanation": answer.text}
        document = {
            "id": receipt.request_id.replace("req_", "msg_"),
            "type": "message",
            "role": "assistant",
            "model": question.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "stop_details": refused if answer.finish is Finish.REFUSED else None,
            "usage": _usage(question, answer),
        }
        return json_response(200, document)

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """Counted tokens, one model, or all models."""
        if incoming.method == "POST":
            request = _validated(incoming, CountRequest)
            _thinking_tokens(request, _facts(request.model))
            texts = [_text(request.system or ""), *(_text(message.content) for message in request.messages)]
            return json_response(200, {"input_tokens": sum(count(text) for text in texts)})
        wanted = incoming.params.get("model")
        if wanted is None:
            names = [name for name in MODELS if account.may_use(name)]
            return json_response(200, page([listed(name, MODELS[name]) for name in names], incoming.query))
        if not account.may_use(wanted):
            raise Rejection(Reason.MODEL_NOT_FOUND, model=wanted)
        return json_response(200, listed(wanted, _facts(wanted)))

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error body with `type` and `message`; a code goes into `details`."""
        return error_of(rejection)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """`request-id`, the organisation, and the limits."""
        headers = {"request-id": receipt.request_id, "anthropic-organization-id": ORGANISATION}
        if reading is None:
            return headers
        gauges = {"requests": reading.requests} | dict.fromkeys(
            ("tokens", "input-tokens", "output-tokens"), reading.tokens
        )
        for name, gauge in gauges.items():
            whole = datetime.fromtimestamp(math.ceil(receipt.created + gauge.reset), UTC)
            headers[f"anthropic-ratelimit-{name}-limit"] = str(gauge.limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(gauge.remaining)
            headers[f"anthropic-ratelimit-{name}-reset"] = whole.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers


def _bad(message: str) -> Rejection:
    return Rejection(Reason.BAD_REQUEST, message)


def _validated(incoming: Incoming, kind: type[_Request]) -> _Request:
    """The request's body, with the vendor's words about the first thing that is wrong."""
    version = incoming.headers.get("anthropic-version")
    if version not in VERSIONS:
        raise _bad("anthropic-version: header is required" if version is None else f'anthropic-version: "{version}"')
    try:
        body = json.loads(incoming.body)
    except ValueError:
        raise _bad("The request body is not valid JSON") from None
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        # Of a union the branch that got furthest is the one that was meant.
        worst = max(error.errors(include_url=False, include_input=False), key=lambda wrong: len(wrong["loc"]))
        raise _bad(f"{'.'.join(str(part) for part in worst['loc'])}: {worst['msg']}") from None


def _facts(model: str) -> Facts:
    facts = MODELS.get(model)
    if facts is None:
        raise Rejection(Reason.MODEL_NOT_FOUND, model=model)
    return facts


def _thinking_tokens(request: CountRequest, facts: Facts) -> int:
    thinking = request.thinking
    try:
        return thinking_tokens(
            facts,
            thinking=thinking.type if thinking else None,
            budget=thinking.budget_tokens if thinking else None,
            effort=request.output_config.effort,
            forced_tool=_forced_tool(request) is not None,
        )
    except ValueError as error:
        raise _bad(str(error)) from None


def _forced_tool(request: CountRequest) -> Tool | None:
    """The tool that the model must call; tools that it may leave are left."""
    choice = request.tool_choice
    if choice is None or choice.type in {"auto", "none"}:
        return None
    for tool in request.tools:
        if choice.type == "any" or tool.name == choice.name:
            return tool
    raise _bad(f"Tool '{choice.name}' not found in provided tools")


def _text(content: Content | str) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


def _marked(content: Content | str | None) -> float | None:
    """Seconds for which a text with a breakpoint is cached."""
    blocks: list[TextBlock] = content if isinstance(content, list) else []
    control = next((block.cache_control for block in reversed(blocks) if block.cache_control), None)
    return _TTL[control.ttl] if control else None


def _cache_plan(request: MessagesRequest, facts: Facts) -> CachePlan:
    system = _marked(request.system)
    user = _marked(request.messages[-1].content)
    if request.cache_control is not None:
        user = _TTL[request.cache_control.ttl]
    return CachePlan(
        after_system=system is not None,
        after_user=user is not None,
        minimum=facts.cache_minimum,
        counts_writes=True,
        ttl=system or user or _TTL["5m"],
    )


def _content(question: Question, answer: Answer, receipt: Receipt) -> tuple[list[dict[str, Any]], str]:
    if answer.finish is Finish.REFUSED:
        return [], "refusal"
    length = answer.finish is Finish.LENGTH
    if question.tool is not None and answer.text:
        try:
            given = json.loads(answer.text)
        except ValueError:
            given = {}
        block = {"type": "tool_use", "id": receipt.request_id.replace("req_", "toolu_"), "name": question.tool}
        return [block | {"input": given}], "max_tokens" if length else "tool_use"
    content = [{"type": "text", "text": answer.text}] if answer.text else []
    return content, "max_tokens" if length else "end_turn"


def _usage(question: Question, answer: Answer) -> dict[str, Any]:
    usage, longer = answer.usage, question.cache.ttl > _TTL["5m"]
    return {
        "input_tokens": usage.input,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if longer else usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write if longer else 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
    }
