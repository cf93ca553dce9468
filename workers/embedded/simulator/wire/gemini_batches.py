"""Batches of the Gemini API: `…:batchGenerateContent` and `/batches`, with requests and results inline."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from workers.embedded.simulator.batches import Action, Asked, Batch, Came, Result, Wanted
from workers.embedded.simulator.exchange import Incoming, Outgoing, Question, Reason, Rejection
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.google import GeminiGenerate
from workers.embedded.simulator.wire.google_errors import json_response

#: Bytes of a request with inline requests.
_MOST: Final = 20 * 1024 * 1024

#: Canonical code → HTTP status, turned round.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14, 504: 4}


class GeminiBatches(GeminiGenerate):
    """The wire format of batches."""

    routes = tuple(
        Route(method=method, path=f"/{version}{path}", operation=Operation.BATCH)
        for version in ("v1beta", "v1")
        for method, path in (
            ("POST", "/models/{model}:batchGenerateContent"),
            ("GET", "/batches"),
            ("POST", "/batches/{batch}:cancel"),
            ("GET", "/batches/{batch}"),
            ("DELETE", "/batches/{batch}"),
        )
    )

    def action(self, incoming: Incoming) -> tuple[Action, str | None]:
        """What a request wants, and of which batch."""
        batch = incoming.params.get("batch")
        if batch is None:
            return (Action.CREATE if incoming.method == "POST" else Action.LIST), None
        actions = {"POST": Action.CANCEL, "DELETE": Action.DELETE, "GET": Action.SHOW}
        return actions[incoming.method], batch

    def wanted(self, incoming: Incoming) -> Wanted:
        """What a request to create a batch holds; what is wrong with a request shows in its result."""
        model = incoming.params["model"]
        if model not in self.models:
            raise Rejection(Reason.MODEL_NOT_FOUND, model=model)
        if len(incoming.body) > _MOST:
            raise Rejection(Reason.BAD_REQUEST, "Request payload size exceeds the limit: 20971520 bytes.", model=model)
        try:
            batch = json.loads(incoming.body)["batch"]
            requests = batch["inputConfig"]["requests"]["requests"]
            known = batch.keys() <= {"displayName", "inputConfig", "priority"}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Rejection(Reason.BAD_REQUEST, "Request contains an invalid argument.", model=model) from None
        if not known or not isinstance(requests, list) or not requests or not all(map(_is_inlined, requests)):
            raise Rejection(Reason.BAD_REQUEST, "Invalid JSON payload received.", model=model)
        asked = [
            Asked(id=json.dumps(one.get("metadata")), question=self._asked(incoming, model, one["request"]))
            for one in requests
        ]
        return Wanted(name=batch.get("displayName"), model=model, asked=asked)

    def _asked(self, incoming: Incoming, model: str, request: dict[str, Any]) -> Question | Rejection:
        body = {name: value for name, value in request.items() if name != "model"}
        if request.get("model", f"models/{model}") != f"models/{model}":
            return Rejection(Reason.BAD_REQUEST, "The model differs from that of the batch.", model=model)
        try:
            question = self.parse(replace(incoming, params={"model": model}, body=json.dumps(body).encode()))
        except Rejection as rejection:
            return rejection
        return replace(question, tier="batch")

    def show(self, batch: Batch) -> Outgoing:
        """A batch, with its results once it has ended."""
        return json_response(200, _shown(batch, with_results=True))

    def listed(self, batches: Sequence[Batch]) -> Outgoing:
        """Batches, the latest first."""
        return json_response(200, {"operations": [_shown(batch, with_results=False) for batch in batches]})

    def results(self, batch: Batch) -> Outgoing:
        """The same as the batch."""
        return self.show(batch)

    def deleted(self, batch: Batch) -> Outgoing:  # noqa: ARG002 - the interface's
        """An empty object."""
        return json_response(200, {})


def _is_inlined(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and isinstance(request.get("request"), dict)
        and request.keys() <= {"request", "metadata"}
    )


def _state(batch: Batch) -> str:
    if batch.ended is None:
        return "BATCH_STATE_RUNNING"
    counts = batch.counts()
    if counts[Result.CANCELLED]:
        return "BATCH_STATE_CANCELLED"
    if counts[Result.EXPIRED] == len(batch.asked):
        return "BATCH_STATE_EXPIRED"
    return "BATCH_STATE_SUCCEEDED"


def _shown(batch: Batch, *, with_results: bool) -> dict[str, Any]:
    name, counts = f"batches/{batch.id}", batch.counts()
    done = counts[Result.SUCCEEDED]
    metadata: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": f"models/{batch.model}",
        "displayName": batch.name,
        "name": name,
        "createTime": _time(batch.created),
        "updateTime": _time(batch.ended or batch.created),
        "batchStats": {
            "requestCount": str(len(batch.asked)),
            "successfulRequestCount": str(done),
            "pendingRequestCount": "0" if batch.ended else str(len(batch.asked)),
        },
        "state": _state(batch),
    }
    document: dict[str, Any] = {"name": name, "metadata": metadata}
    if batch.ended is None:
        return document
    metadata["endTime"] = _time(batch.ended)
    document["done"] = True
    inlined = [
        one for asked, came in zip(batch.asked, batch.came, strict=True) if (one := _inlined(asked, came)) is not None
    ]
    if with_results and inlined:
        metadata["output"] = {"inlinedResponses": {"inlinedResponses": inlined}}
        document["response"] = metadata["output"]
    return document


def _inlined(asked: Asked, came: Came) -> dict[str, Any] | None:
    """What the vendor did not come to is not among the results."""
    if came.outgoing is None:
        return None
    metadata = json.loads(asked.id)
    body = json.loads(came.outgoing.body)
    shown: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if came.result is Result.ERRORED:
        error = body["error"]
        return shown | {"error": {"code": _CODES.get(error["code"], 13), "message": error["message"]}}
    return shown | {"response": body}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
