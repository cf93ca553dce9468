"""OpenAI's Chat Completions API: `POST /v1/chat/completions`."""

from collections.abc import Mapping
from typing import Any

from workers.embedded.simulator.exchange import Answer, Finish, Outgoing, Question, Receipt
from workers.embedded.simulator.wire import openai_checks as checks
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.openai import OpenAIBase, dumped
from workers.embedded.simulator.wire.openai_facts import NONE, REASONING_TOKENS, Facts

_NOT_SIMULATED = ("stream", "audio", "functions", "function_call", "prediction", "web_search_options", "moderation")
_PARAMETERS = frozenset(
    {
        *_NOT_SIMULATED,
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class OpenAIChat(OpenAIBase):
    """The wire format of Chat Completions."""

    routes: tuple[Route, ...] = (Route(method="POST", path="/v1/chat/completions", operation=Operation.ANSWER),)

    def question(self, body: checks.Json, model: str, facts: Facts) -> Question:
        """What a request for a known model asks; unknown, unsupported and ill-typed parameters are refused."""
        effort = self.check(body, facts)
        system, user, marks = messages(body)
        schema, schema_tokens = self.answer_format(body, f"{system}\n{user}")
        tool = forced_tool(body)
        if tool is not None:
            if facts.reasons and effort != NONE:
                raise checks.bad(
                    "Function tools with reasoning_effort are not supported for this model in /v1/chat/completions. "
                    "Please use /v1/responses instead.",
                    "reasoning_effort",
                )
            schema, schema_tokens = checks.schema(tool, param="tools[0].function.parameters", code=None)
        return Question(
            model=model,
            system=system,
            user=user,
            schema=schema,
            schema_tokens=schema_tokens,
            tool=None if tool is None else str(tool["name"]),
            max_output_tokens=self.cap(body, facts),
            reasoning_tokens=REASONING_TOKENS[effort],
            context=facts.context,
            cache=checks.cache_plan(body, facts, marked_system=marks[0], marked_user=marks[1], ttls=("30m",)),
            stored=bool(checks.typed(body, "store", bool)),
            tags=checks.tags(body),
            echo={"metadata": body["metadata"]} if body.get("metadata") else {},
        )

    def check(self, body: checks.Json, facts: Facts) -> str:
        """Refuse parameters that the endpoint or the model does not take; the effort that holds."""
        for name in body:
            if name not in _PARAMETERS:
                raise checks.bad(f"Unrecognized request argument supplied: {name}")
        for name in _NOT_SIMULATED:
            if body.get(name):
                raise checks.not_simulated(name)
        if checks.typed(body, "n", int) not in {None, 1}:
            raise checks.not_simulated("n")
        effort = _effort(body, facts)
        checks.sampling(body, facts, effort)
        checks.identifiers(body)
        checks.one_of(body, "service_tier", checks.TIERS)
        checks.one_of(body, "verbosity", ("low", "medium", "high"))
        if facts.reasons and body.get("max_tokens") is not None:
            raise checks.bad(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                "max_tokens",
                "unsupported_parameter",
            )
        if body.get("metadata") and not body.get("store"):
            raise checks.bad("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
        return effort

    def cap(self, body: checks.Json, facts: Facts) -> int:
        """The output cap that holds."""
        name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
        return checks.output_cap(body, name, facts)

    def answer_format(self, body: checks.Json, prompt: str) -> tuple[Mapping[str, Any] | None, int]:
        """The schema that the answer must satisfy, and its tokens."""
        given = checks.typed(body, "response_format", dict) or {"type": "text"}
        kind = checks.one_of(given, "type", ("text", "json_object", "json_schema"), param="response_format.type")
        if kind == "json_schema":
            inner = checks.typed(given, "json_schema", dict, param="response_format.json_schema") or {}
            return checks.schema(inner, param="response_format", code=None)
        if kind == "json_object" and "json" not in prompt.lower():
            raise checks.bad(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                "messages",
            )
        return ({} if kind == "json_object" else None), 0

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """A `chat.completion` object with one choice."""
        refused = answer.finish is Finish.REFUSED
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused else answer.text,
            "refusal": answer.text if refused else None,
            "annotations": [],
        }
        finish = "length" if answer.finish is Finish.LENGTH else "stop"
        if question.tool is not None and not refused:
            call = {"name": question.tool, "arguments": answer.text}
            identifier = f"call_{receipt.request_id.removeprefix('req_')}"
            message |= {"content": None, "tool_calls": [{"id": identifier, "type": "function", "function": call}]}
        document = {
            "id": f"chatcmpl-{receipt.request_id.removeprefix('req_')}",
            "object": "chat.completion",
            "created": int(receipt.created),
            "model": question.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": _usage(answer),
            "service_tier": "default",
            "system_fingerprint": "simulator",
            **question.echo,
        }
        return Outgoing(status=200, body=dumped(document))


def _effort(body: checks.Json, facts: Facts) -> str:
    if body.get("reasoning_effort") is None:
        return facts.default
    if not facts.reasons:
        raise checks.bad("Unrecognized request argument supplied: reasoning_effort")
    effort = checks.one_of(body, "reasoning_effort", tuple(REASONING_TOKENS)) or facts.default
    if effort not in facts.efforts:
        raise checks.bad(
            f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. Supported values "
            f"are: {checks.listed(facts.efforts)}.",
            "reasoning_effort",
            "unsupported_value",
        )
    return effort


def messages(body: checks.Json) -> tuple[str, str, tuple[bool, bool]]:
    """System text, user text, and whether each has a cache breakpoint."""
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise checks.bad("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    system: list[str] = []
    user: list[str] = []
    marked_system = marked_user = False
    for index, message in enumerate(given):
        if not isinstance(message, dict):
            raise checks.bad(
                f"Invalid type for 'messages[{index}]': expected an object.", f"messages[{index}]", "invalid_type"
            )
        role = checks.one_of(message, "role", _ROLES, param=f"messages[{index}].role")
        text, marked = checks.parts(message.get("content"), kind="text", param=f"messages[{index}].content")
        if role in {"system", "developer"}:
            system.append(text)
            marked_system = marked_system or marked
        else:
            user.append(text)
            marked_user = marked_user or marked
    return "\n\n".join(system), "\n\n".join(user), (marked_system, marked_user)


def forced_tool(body: checks.Json) -> Mapping[str, Any] | None:
    """The function that the model must call, as a schema with a name; tools that it may leave are left."""
    tools = checks.objects(body, "tools")
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return None
    wanted = (checks.typed(choice, "function", dict, param="tool_choice.function") or {}).get("name")
    for tool in tools:
        function = checks.typed(tool, "function", dict, param="tools[0].function") or {}
        if function.get("name") == wanted:
            return {"name": wanted, "schema": function.get("parameters"), "strict": function.get("strict", False)}
    raise checks.bad(f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice", "invalid_value")


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "audio_tokens": 0,
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write,
        },
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": usage.reasoning,
            "rejected_prediction_tokens": 0,
        },
    }
