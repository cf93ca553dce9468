"""Google's `generateContent`, as the Gemini API and Vertex AI speak it, with counted tokens and listed models."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

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
from workers.embedded.simulator.schemas import malformed
from workers.embedded.simulator.tokens import count
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.google_errors import GEMINI_ERRORS, VERTEX_ERRORS, error_of, json_response
from workers.embedded.simulator.wire.google_facts import GEMINI_MODELS, VERTEX_MODELS, Facts, thinking_tokens
from workers.embedded.simulator.wire.google_oauth import AccessTokens
from workers.embedded.simulator.wire.google_request import (
    CountRequest,
    GeminiRequest,
    GenerateRequest,
    Message,
    VertexRequest,
)

_Request = TypeVar("_Request", bound=Message)

#: Models per page of the list, unless the request says how many.
_PAGE = 50


class GoogleGenerate:
    """What both endpoints share."""

    needs_key: ClassVar[bool] = True
    models: ClassVar[Mapping[str, Facts]]
    request: ClassVar[type[GenerateRequest]]

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks; a rejection names the model."""
        model = incoming.params["model"]
        facts = self.models.get(model)
        if facts is None:
            raise Rejection(Reason.MODEL_NOT_FOUND, model=model)
        try:
            return self._question(model, facts, _validated(incoming, self.request))
        except Rejection as rejection:
            rejection.model = model
            raise

    def _question(self, model: str, facts: Facts, request: GenerateRequest) -> Question:
        generation = request.generation_config
        cap = generation.max_output_tokens or facts.max_output
        if cap > facts.max_output:
            raise _bad(
                f"Unable to submit request because it has a maxOutputTokens value of {cap} but the supported range is "
                f"from 1 (inclusive) to {facts.max_output + 1} (exclusive). Update the value and try again."
            )
        schema = _schema(request)
        try:
            thinking = thinking_tokens(
                facts,
                level=generation.thinking_config.thinking_level,
                budget=generation.thinking_config.thinking_budget,
            )
        except ValueError as error:
            raise _bad(str(error)) from None
        return Question(
            model=model,
            system=request.system_instruction.text if request.system_instruction else "",
            user="\n\n".join(content.text for content in request.contents),
            schema=schema,
            schema_tokens=count(json.dumps(schema, separators=(",", ":"), ensure_ascii=False)) if schema else 0,
            max_output_tokens=cap,
            reasoning_tokens=thinking,
            context=facts.context,
            # The cache is implicit: any prefix is kept, and nothing is charged for keeping it.
            cache=CachePlan(after_system=True, after_user=True, minimum=facts.cache_minimum, ttl=3_600),
            tier=request.tier,
            stored=request.kept,
            tags=request.labels,
            echo={"modelVersion": facts.served or model},
        )

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """An answer with one candidate."""
        reason = {Finish.STOP: "STOP", Finish.LENGTH: "MAX_TOKENS", Finish.REFUSED: "SAFETY"}[answer.finish]
        parts = [{"text": answer.text}] if answer.text and answer.finish is not Finish.REFUSED else []
        content: dict[str, Any] = {"role": "model"} | ({"parts": parts} if parts else {})
        document = {
            "candidates": [{"content": content, "finishReason": reason, "index": 0}],
            "usageMetadata": _usage(answer),
            "responseId": receipt.request_id,
            **question.echo,
        }
        return json_response(200, document)

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """Counted tokens, one model, or all models."""
        model = incoming.params.get("model")
        if model is None:
            listed = [_listed(name, facts) for name, facts in self.models.items() if account.may_use(name)]
            return json_response(200, _page(listed, incoming.query))
        if model not in self.models or not account.may_use(model):
            raise Rejection(Reason.MODEL_NOT_FOUND, model=model)
        if incoming.method == "GET":
            return json_response(200, _listed(model, self.models[model]))
        request: CountRequest | GenerateRequest = _validated(incoming, CountRequest)
        if isinstance(request, CountRequest) and request.generate_content_request is not None:
            wrapped = {name: value for name, value in request.generate_content_request.items() if name != "model"}
            request = _checked(wrapped, self.request)
        system = request.system_instruction.text if request.system_instruction else ""
        tokens = count(system) + sum(count(content.text) for content in request.contents)
        return json_response(200, {"totalTokens": tokens})


class GeminiGenerate(GoogleGenerate):
    """The wire format of the Gemini API."""

    models = GEMINI_MODELS
    request = GeminiRequest
    routes = tuple(
        Route(method=method, path=f"/{version}/models{rest}", operation=operation)
        for version in ("v1beta", "v1")
        for method, rest, operation in (
            ("POST", "/{model}:generateContent", Operation.ANSWER),
            ("POST", "/{model}:countTokens", Operation.LOOKUP),
            ("GET", "", Operation.LOOKUP),
            ("GET", "/{model}", Operation.LOOKUP),
        )
    )

    def credential(self, incoming: Incoming) -> str | None:
        """The API key."""
        return incoming.headers.get("x-goog-api-key", "").strip() or None

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error with its details."""
        return error_of(rejection, GEMINI_ERRORS, names_wait=True)

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """An answer, with the tier that served it."""
        outgoing = super().render(question, answer, receipt)
        return replace(outgoing, headers={"x-gemini-service-tier": question.tier or "standard"})

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """This vendor says nothing of its limits."""
        return {"server-timing": f"gfet4t7; dur={seconds * 1_000:.0f}"}


class VertexGenerate(GoogleGenerate):
    """The wire format of Vertex AI."""

    models = VERTEX_MODELS
    request = VertexRequest
    routes = tuple(
        Route(
            method="POST",
            path=f"/{version}/projects/{{project}}/locations/{{location}}/publishers/google/models/{{model}}:{method}",
            operation=operation,
        )
        for version in ("v1", "v1beta1")
        for method, operation in (("generateContent", Operation.ANSWER), ("countTokens", Operation.LOOKUP))
    )

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    def credential(self, incoming: Incoming) -> str | None:
        """The service account whose access token it is."""
        scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
        return self._tokens.owner(token.strip()) if scheme.lower() == "bearer" and token.strip() else None

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks; the tier stands in a header."""
        flex = incoming.headers.get("x-vertex-ai-llm-shared-request-type", "").lower() == "flex"
        return replace(super().parse(incoming), tier="flex" if flex else None)

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:
        """An answer, with its time and the kind of traffic."""
        outgoing = super().render(question, answer, receipt)
        document = json.loads(outgoing.body)
        document["createTime"] = datetime.fromtimestamp(receipt.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        document["usageMetadata"]["trafficType"] = "ON_DEMAND_FLEX" if question.tier else "ON_DEMAND"
        return json_response(200, document)

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error with its details."""
        return error_of(rejection, VERTEX_ERRORS, names_wait=False)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """None that tell anything."""
        return {"server-timing": f"gfet4t7; dur={seconds * 1_000:.0f}"}


def _bad(message: str) -> Rejection:
    return Rejection(Reason.BAD_REQUEST, message)


def _validated(incoming: Incoming, kind: type[_Request]) -> _Request:
    try:
        body = json.loads(incoming.body)
    except (ValueError, RecursionError):
        raise _bad("Invalid JSON payload received. Unexpected token.") from None
    return _checked(body, kind)


def _checked(body: Any, kind: type[_Request]) -> _Request:
    """A body as a request, with the vendor's words about the first thing that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    *parents, field = [to_snake(str(part)) for part in first["loc"]] or [""]
    if first["type"] == "extra_forbidden":
        where = f" at '{'.'.join(parents)}'" if parents else ""
        raise _bad(f'Invalid JSON payload received. Unknown name "{first["loc"][-1]}"{where}: Cannot find field.')
    raise _bad(f"Invalid value at '{'.'.join([*parents, field])}': {first['msg']}")


def _schema(request: GenerateRequest) -> Mapping[str, Any] | None:
    generation = request.generation_config
    schema = generation.response_json_schema
    if generation.response_mime_type != "application/json":
        if schema is not None:
            raise _bad("responseMimeType must be set to 'application/json' when a response schema is set.")
        return None
    if schema is not None and (wrong := malformed(schema)):
        raise _bad(f"Invalid value at 'generation_config.response_json_schema': {wrong}")
    return schema if schema is not None else {}


def _usage(answer: Answer) -> dict[str, Any]:
    """Fields are absent when they are zero; thoughts are not part of the candidates' tokens."""
    usage = answer.usage
    counts = {
        "promptTokenCount": usage.prompt,
        "cachedContentTokenCount": usage.cached_input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.total,
    }
    return {name: tokens for name, tokens in counts.items() if tokens}


def _page(models: Sequence[dict[str, Any]], query: str) -> dict[str, Any]:
    """The page of the list that a request's `pageSize` and `pageToken` ask for."""
    asked = parse_qs(query)
    start = int(asked.get("pageToken", ["0="])[0].removesuffix("="))
    end = start + int(asked.get("pageSize", [str(_PAGE)])[0])
    # Tokens are opaque; this one holds a character that addresses must escape, as real ones may.
    return {"models": models[start:end]} | ({"nextPageToken": f"{end}="} if end < len(models) else {})


def _listed(name: str, facts: Facts) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": facts.context,
        "outputTokenLimit": facts.max_output,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": True,
    }
