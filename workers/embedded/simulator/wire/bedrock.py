"""Bedrock's Converse API for Claude: `POST /model/{id}/converse`, signed."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

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
from workers.embedded.simulator.wire.aws_signature import Resolver, resolve_simulated, verify
from workers.embedded.simulator.wire.aws_sts import Sessions
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.bedrock_errors import error_of, json_response
from workers.embedded.simulator.wire.bedrock_request import Block, ConverseRequest, ToolSpec
from workers.embedded.simulator.wire.claude_facts import (
    BEDROCK_ID,
    MODELS,
    PROFILE_ARN,
    PROFILE_MODEL,
    Facts,
    thinking_tokens,
)
from workers.embedded.simulator.wire.claude_schema import fault_of

_TTL = {"5m": 300.0, "1h": 3_600.0}


def _now() -> datetime:
    return datetime.now(UTC)


class BedrockConverse:
    """The wire format of Converse.

    Args:
        resolve: finds the owner of an access key; by default every id has an owner, and `simulated_secret` is its
            secret.
        sessions: those that roles are lent; without them `resolve` is asked for the owners of all keys.
        now: what signatures are dated by.
    """

    routes = (Route(method="POST", path="/model/{model}/converse", operation=Operation.ANSWER),)
    needs_key = True

    def __init__(
        self,
        *,
        resolve: Resolver = resolve_simulated,
        sessions: Sessions | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._resolve = resolve
        self._sessions = sessions
        self._now = now

    def credential(self, incoming: Incoming) -> str | None:
        """The account that signed; its signature is recomputed from the bytes that came."""
        token = incoming.headers.get("x-amz-security-token")
        resolve = self._resolve if token is None or self._sessions is None else self._sessions.resolver(token)
        return verify(incoming, resolve=resolve, service="bedrock", now=self._now())

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks."""
        model = incoming.params["model"]
        facts = _facts(model)
        request = _validated(incoming)
        cap = request.inference.max_tokens or facts.max_output
        if cap > facts.max_output:
            raise _bad(
                f"The maximum tokens you requested exceeds the model limit of {facts.max_output}. Try again with a "
                f"maximum tokens value that is lower than {facts.max_output}."
            )
        tool = _forced_tool(request)
        schema = tool.input_schema.json_ if tool else _native_schema(request, facts)
        if tool is not None and tool.strict:
            raise _from_model("tools.0.custom.strict: Extra inputs are not permitted")
        return Question(
            model=model,
            system=_text(request.system),
            user="\n\n".join(_text(message.content) for message in request.messages),
            schema=schema,
            schema_tokens=count(json.dumps(schema, separators=(",", ":"))) if schema else 0,
            tool=tool.name if tool else None,
            max_output_tokens=cap,
            reasoning_tokens=_thinking_tokens(request, facts, forced=tool is not None),
            context=facts.context,
            cache=_cache_plan(request, facts),
            tags=request.metadata,
            tier="flex" if request.service_tier and request.service_tier.type == "flex" else None,
        )

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """A message with one block."""
        content, reason = _content(question, answer, receipt)
        usage = answer.usage
        document = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": reason,
            "usage": {
                "inputTokens": usage.input,
                "cacheReadInputTokens": usage.cached_input,
                "cacheWriteInputTokens": usage.cache_write,
                "outputTokens": usage.output,
                "totalTokens": usage.total,
            },
            "metrics": {"latencyMs": 1},
            "serviceTier": {"type": question.tier or "default"},
        }
        return json_response(200, document)

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:  # noqa: ARG002 - the interface's
        """There is nothing to look up here: listings belong to Bedrock's other endpoint."""
        raise Rejection(Reason.PATH_NOT_FOUND)

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error: its code in a header, its words in the body."""
        return error_of(rejection)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """An id; this vendor says nothing of its limits."""
        return {"x-amzn-requestid": receipt.request_id}


def _bad(message: str) -> Rejection:
    return Rejection(Reason.BAD_REQUEST, message)


def _from_model(message: str) -> Rejection:
    """A refusal that is not Bedrock's own: it passes on what the model's vendor says."""
    return _bad(f"The model returned the following errors: {message}")


def _facts(model: str) -> Facts:
    if PROFILE_ARN.fullmatch(model):
        return MODELS[PROFILE_MODEL]
    parts = BEDROCK_ID.fullmatch(model)
    facts = MODELS.get(parts["model"]) if parts else None
    if parts is None or facts is None:
        raise _bad("The provided model identifier is invalid.")
    if parts["place"] is None:
        raise _bad(
            f"Invocation of model ID {model} with on-demand throughput isn’t supported. Retry your request with the ID "  # noqa: RUF001 - the vendor's apostrophe
            "or ARN of an inference profile that contains this model."
        )
    return facts


def _validated(incoming: Incoming) -> ConverseRequest:
    try:
        return ConverseRequest.model_validate_json(incoming.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _bad(
                f"Malformed input request: #/{where}: extraneous key [{first['loc'][-1]}] is not permitted, please "
                "reformat your input and try again."
            ) from None
        raise _bad(f"Malformed input request: #/{where}: {first['msg']}") from None


def _native_schema(request: ConverseRequest, facts: Facts) -> dict[str, Any] | None:
    """The schema that the model is to enforce itself."""
    if request.output.text_format is None:
        return None
    if not facts.native_output:
        raise _from_model("output_config.format: Extra inputs are not permitted")
    try:
        schema = json.loads(request.output.text_format.structure.json_schema.schema_)
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise _bad("outputConfig.textFormat.structure.jsonSchema.schema is not a JSON Schema.")
    if wrong := fault_of(schema):
        raise _from_model(f"output_config.format.schema: {wrong}")
    return schema


def _forced_tool(request: ConverseRequest) -> ToolSpec | None:
    """The tool that the model must call; tools that it may leave are left."""
    config = request.tool_config
    if config is None or (config.tool_choice.tool is None and config.tool_choice.any is None):
        return None
    wanted = config.tool_choice.tool
    for tool in config.tools:
        if wanted is None or tool.tool_spec.name == wanted.name:
            return tool.tool_spec
    raise _from_model("tool_choice: the tool was not found in the provided tools")


def _thinking_tokens(request: ConverseRequest, facts: Facts, *, forced: bool) -> int:
    thinking = request.passed_on.thinking
    try:
        return thinking_tokens(
            facts,
            thinking=thinking.type if thinking else None,
            budget=thinking.budget_tokens if thinking else None,
            effort=request.output.effort,
            forced_tool=forced,
        )
    except ValueError as error:
        raise _from_model(str(error)) from None


def _text(blocks: Sequence[Block]) -> str:
    return "\n".join(block.text for block in blocks if block.text is not None)


def _cache_plan(request: ConverseRequest, facts: Facts) -> CachePlan:
    def marked(blocks: Sequence[Block]) -> float | None:
        return next((_TTL[block.cache_point.ttl] for block in blocks if block.cache_point), None)

    system, user = marked(request.system), marked(request.messages[-1].content)
    return CachePlan(
        after_system=system is not None,
        after_user=user is not None,
        minimum=facts.cache_minimum,
        counts_writes=True,
        ttl=system or user or _TTL["5m"],
    )


def _content(question: Question, answer: Answer, receipt: Receipt) -> tuple[list[dict[str, Any]], str]:
    if answer.finish is Finish.REFUSED:
        return [{"text": answer.text}], "content_filtered"
    reason = "max_tokens" if answer.finish is Finish.LENGTH else "end_turn"
    if question.tool is None or not answer.text:
        return ([{"text": answer.text}] if answer.text else []), reason
    try:
        given = json.loads(answer.text)
    except ValueError:
        # A call that cannot be read is not passed on.
        return [], "malformed_tool_use" if answer.finish is Finish.STOP else reason
    use = {"toolUseId": receipt.request_id.replace("req_", "tooluse_"), "name": question.tool, "input": given}
    return [{"toolUse": use}], "tool_use" if answer.finish is Finish.STOP else reason
