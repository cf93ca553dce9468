"""OpenAI's Responses API: `POST /v1/responses`, and the listing of models."""

from collections.abc import Mapping
from typing import Any

from workers.embedded.simulator.exchange import Answer, Finish, Outgoing, Question, Receipt
from workers.embedded.simulator.wire import openai_checks as checks
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.openai import OpenAIBase, dumped
from workers.embedded.simulator.wire.openai_facts import REASONING_TOKENS, Facts

_NOT_SIMULATED = ("background", "conversation", "previous_response_id", "prompt", "stream", "moderation")
_PARAMETERS = frozenset(
    {
        *_NOT_SIMULATED,
        "access_programs",
        "background_options",
        "context_management",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)


class OpenAIResponses(OpenAIBase):
    """The wire format of the Responses API."""

    routes = (
        Route(method="POST", path="/v1/responses", operation=Operation.ANSWER),
        Route(method="GET", path="/v1/models", operation=Operation.LOOKUP),
        Route(method="GET", path="/v1/models/{model}", operation=Operation.LOOKUP),
    )

    def question(self, body: checks.Json, model: str, facts: Facts) -> Question:
        """What a request for a known model asks; unknown, unsupported and ill-typed parameters are refused."""
        _known(body)
        effort = _effort(body, facts, model)
        checks.sampling(body, facts, effort)
        checks.identifiers(body)
        checks.one_of(body, "service_tier", (*checks.TIERS, "ultrafast"))
        checks.one_of(body, "truncation", ("auto", "disabled"))
        system, user, marks = _messages(body)
        text = checks.typed(body, "text", dict) or {}
        checks.one_of(text, "verbosity", ("low", "medium", "high"), param="text.verbosity")
        schema, schema_tokens = _format(text)
        tool = _forced_tool(body)
        if tool is not None:
            schema, schema_tokens = checks.schema(tool, param="tools[0].parameters", code="invalid_function_parameters")
        store = checks.typed(body, "store", bool)
        return Question(
            model=model,
            system=system,
            user=user,
            schema=schema,
            schema_tokens=schema_tokens,
            tool=None if tool is None else str(tool["name"]),
            max_output_tokens=checks.output_cap(body, "max_output_tokens", facts),
            reasoning_tokens=REASONING_TOKENS[effort],
            context=facts.context,
            cache=checks.cache_plan(body, facts, marked_system=marks[0], marked_user=marks[1], ttls=tuple(checks.TTL)),
            tier="flex" if body.get("service_tier") == "flex" else None,
            stored=store is not False,
            tags=checks.tags(body),
            echo=_echo(body, text, effort if facts.reasons else None),
        )

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """A `response` object with one output item."""
        complete = answer.finish is not Finish.LENGTH
        status = "completed" if complete else "incomplete"
        identifier = receipt.request_id.removeprefix("req_")
        document = {
            "id": f"resp_{identifier}",
            "object": "response",
            "created_at": int(receipt.created),
            "status": status,
            "completed_at": int(receipt.created) if complete else None,
            "error": None,
            "incomplete_details": None if complete else {"reason": "max_output_tokens"},
            "model": question.model,
            "output": _output(question, answer, identifier, status),
            "usage": _usage(answer, counts_writes=question.cache.counts_writes),
            **question.echo,
        }
        return Outgoing(status=200, body=dumped(document))


def _known(body: checks.Json) -> None:
    for name in body:
        if name not in _PARAMETERS:
            if name in {"reasoning_effort", "response_format", "max_tokens", "messages", "max_completion_tokens"}:
                raise _moved(name)
            raise checks.bad(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in _NOT_SIMULATED:
        if body.get(name):
            raise checks.not_simulated(name)


def _moved(name: str) -> Exception:
    places = {
        "reasoning_effort": "reasoning.effort",
        "response_format": "text.format",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "messages": "input",
    }
    return checks.bad(
        f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{places[name]}'. Try "
        "again with the new parameter. See the API documentation for more information: "
        "https://platform.openai.com/docs/api-reference/responses/create.",
        code="unsupported_parameter",
    )


def _effort(body: checks.Json, facts: Facts, model: str) -> str:
    reasoning = checks.typed(body, "reasoning", dict)
    if reasoning is None:
        return facts.default
    if not facts.reasons:
        raise checks.bad(
            "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
            "reasoning.effort",
            "unsupported_parameter",
        )
    effort = checks.one_of(reasoning, "effort", tuple(REASONING_TOKENS), param="reasoning.effort") or facts.default
    if effort not in facts.efforts:
        raise checks.bad(
            f"Unsupported value: '{effort}' is not supported with the '{model}' model. Supported values are: "
            f"{checks.listed(facts.efforts)}.",
            "reasoning.effort",
            "unsupported_value",
        )
    return effort


def _messages(body: checks.Json) -> tuple[str, str, tuple[bool, bool]]:
    """System text, user text, and whether each has a cache breakpoint."""
    given = body.get("input")
    if given is None:
        raise checks.bad("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    instructions = checks.typed(body, "instructions", str)
    system = [instructions] if instructions else []
    if isinstance(given, str):
        return "\n\n".join(system), given, (False, False)
    if not isinstance(given, list):
        raise checks.bad(
            "Invalid type for 'input': expected one of a string or array of input items.", "input", "invalid_type"
        )
    user: list[str] = []
    marked_system = marked_user = False
    for index, item in enumerate(given):
        if not isinstance(item, dict) or item.get("type", "message") != "message":
            raise checks.not_simulated(f"input[{index}].type")
        role = checks.one_of(item, "role", ("user", "assistant", "system", "developer"), param=f"input[{index}].role")
        text, marked = checks.parts(item.get("content"), kind="input_text", param=f"input[{index}].content")
        if role in {"system", "developer"}:
            system.append(text)
            marked_system = marked_system or marked
        else:
            user.append(text)
            marked_user = marked_user or marked
    return "\n\n".join(system), "\n\n".join(user), (marked_system, marked_user)


def _format(text: checks.Json) -> tuple[Mapping[str, Any] | None, int]:
    given = checks.typed(text, "format", dict, param="text.format") or {"type": "text"}
    kind = checks.one_of(given, "type", ("text", "json_object", "json_schema"), param="text.format.type")
    if kind == "json_schema":
        return checks.schema(given, param="text.format", code="invalid_json_schema")
    return ({} if kind == "json_object" else None), 0


def _forced_tool(body: checks.Json) -> Mapping[str, Any] | None:
    """The function that the model must call, as a schema with a name; tools that it may leave are left."""
    tools = checks.objects(body, "tools")
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return None
    for tool in tools:
        if tool.get("type") == "function" and tool.get("name") == choice.get("name"):
            return {"name": tool.get("name"), "schema": tool.get("parameters"), "strict": tool.get("strict", True)}
    raise checks.bad(
        f"Tool choice '{choice.get('name')}' not found in 'tools' parameter.", "tool_choice", "invalid_value"
    )


def _echo(body: checks.Json, text: checks.Json, effort: str | None) -> dict[str, Any]:
    """The request parameters that a response repeats."""
    shown = dict(text.get("format") or {"type": "text"})
    if shown.get("type") == "json_schema":
        shown = {"description": None, "strict": False, **shown}
    options = body.get("prompt_cache_options")
    return {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        **({"prompt_cache_options": {"mode": "implicit", "ttl": "30m", **options}} if options else {}),
        "reasoning": {"effort": effort, "summary": None},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "flex" if body.get("service_tier") == "flex" else "default",
        "temperature": 1.0 if body.get("temperature") is None else body["temperature"],
        "text": {"format": shown, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": 1.0 if body.get("top_p") is None else body["top_p"],
        "truncation": body.get("truncation") or "disabled",
        "user": body.get("user"),
    }


def _output(question: Question, answer: Answer, identifier: str, status: str) -> list[dict[str, Any]]:
    if question.tool is not None and answer.finish is not Finish.REFUSED:
        return [
            {
                "id": f"fc_{identifier}",
                "type": "function_call",
                "status": status,
                "call_id": f"call_{identifier}",
                "name": question.tool,
                "arguments": answer.text,
            }
        ]
    if not answer.text and answer.finish is Finish.LENGTH:
        # All of the cap went into reasoning: the vendor then sends no message at all.
        return [{"id": f"rs_{identifier}", "type": "reasoning", "summary": []}]
    content: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    if answer.finish is Finish.REFUSED:
        content = {"type": "refusal", "refusal": answer.text}
    return [{"id": f"msg_{identifier}", "type": "message", "role": "assistant", "status": status, "content": [content]}]


def _usage(answer: Answer, *, counts_writes: bool) -> dict[str, Any]:
    usage = answer.usage
    details: dict[str, Any] = {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write}
    if counts_writes:
        details["cache_write_tokens_details"] = {"ttl_30m_tokens": usage.cache_write, "ttl_12h_tokens": 0}
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": details,
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
