"""Anthropic's Message Batches: `/v1/messages/batches`, with results as JSON lines."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from workers.embedded.simulator.batches import EXPIRES, Action, Asked, Batch, Came, Result, Wanted
from workers.embedded.simulator.exchange import Incoming, Outgoing, Question, Reason, Rejection
from workers.embedded.simulator.wire.anthropic import AnthropicMessages
from workers.embedded.simulator.wire.anthropic_errors import json_response
from workers.embedded.simulator.wire.base import Operation, Route

_ROOT: Final = "/v1/messages/batches"
_PREFIX: Final = "msgbatch_"
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST: Final = 100_000

_WORDS = {
    Result.SUCCEEDED: "succeeded",
    Result.ERRORED: "errored",
    Result.CANCELLED: "canceled",
    Result.EXPIRED: "expired",
}


class AnthropicBatches(AnthropicMessages):
    """The wire format of Message Batches."""

    routes: ClassVar[tuple[Route, ...]] = tuple(
        Route(method=method, path=_ROOT + rest, operation=Operation.BATCH)
        for method, rest in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/{batch}/results"),
            ("POST", "/{batch}/cancel"),
            ("GET", "/{batch}"),
            ("DELETE", "/{batch}"),
        )
    )

    def action(self, incoming: Incoming) -> tuple[Action, str | None]:
        """What a request wants, and of which batch."""
        batch = incoming.params.get("batch")
        if batch is None:
            return (Action.CREATE if incoming.method == "POST" else Action.LIST), None
        action = Action.SHOW
        if incoming.path.endswith("/results"):
            action = Action.RESULTS
        elif incoming.method == "POST":
            action = Action.CANCEL
        elif incoming.method == "DELETE":
            action = Action.DELETE
        return action, batch.removeprefix(_PREFIX)

    def wanted(self, incoming: Incoming) -> Wanted:
        """What a request to create a batch holds; what is wrong with a message shows in its result."""
        try:
            body = json.loads(incoming.body)
        except ValueError:
            raise Rejection(Reason.BAD_REQUEST, "The request body is not valid JSON") from None
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or not 0 < len(requests) <= _MOST or body.keys() != {"requests"}:
            raise Rejection(Reason.BAD_REQUEST, f"requests: a list of 1 to {_MOST} requests is required")
        seen: set[str] = set()
        for place, request in enumerate(requests):
            name = request.get("custom_id") if isinstance(request, dict) else None
            if not isinstance(name, str) or not _ID.fullmatch(name) or request.keys() != {"custom_id", "params"}:
                raise Rejection(Reason.BAD_REQUEST, f"requests.{place}: needs custom_id and params, and nothing else")
            if name in seen:
                raise Rejection(Reason.BAD_REQUEST, f"requests.{place}.custom_id: must be unique")
            seen.add(name)
        asked = [Asked(id=one["custom_id"], question=self._question(incoming, one["params"])) for one in requests]
        return Wanted(asked=asked)

    def _question(self, incoming: Incoming, params: Any) -> Question | Rejection:
        try:
            question = self.parse(replace(incoming, body=json.dumps(params).encode()))
        except Rejection as rejection:
            return rejection
        return replace(question, tier="batch")

    def show(self, batch: Batch) -> Outgoing:
        """A batch."""
        return json_response(200, _shown(batch))

    def listed(self, batches: Sequence[Batch]) -> Outgoing:
        """Batches, the latest first."""
        data = [_shown(batch) for batch in batches]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return json_response(200, {"data": data, "has_more": False, **ends})

    def results(self, batch: Batch) -> Outgoing:
        """One line per message; in an order of the vendor's own."""
        if batch.ended is None:
            raise Rejection(Reason.BAD_REQUEST, "Batch has no available results until processing has ended")
        lines = [
            json.dumps({"custom_id": asked.id, "result": _result(came)})
            for asked, came in zip(batch.asked, batch.came, strict=True)
        ]
        return Outgoing(status=200, body="\n".join(reversed(lines)).encode(), content_type="application/x-jsonl")

    def deleted(self, batch: Batch) -> Outgoing:
        """One that is under way has to be cancelled first."""
        if batch.ended is None:
            raise Rejection(Reason.BAD_REQUEST, "Batch cannot be deleted while it is processing")
        return json_response(200, {"id": _PREFIX + batch.id, "type": "message_batch_deleted"})


def _result(came: Came) -> dict[str, Any]:
    document = {"type": _WORDS[came.result]}
    if came.outgoing is None:
        return document
    body = json.loads(came.outgoing.body)
    if came.result is Result.ERRORED:
        return document | {"error": {"request_id": None, **body}}
    body["usage"]["service_tier"] = "batch"
    return document | {"message": body}


def _shown(batch: Batch) -> dict[str, Any]:
    ended = batch.ended is not None
    counts = {_WORDS[result]: number for result, number in batch.counts().items()}
    status = "ended" if ended else "in_progress" if batch.cancelled is None else "canceling"
    return {
        "id": _PREFIX + batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {"processing": 0 if ended else len(batch.asked), **counts},
        "created_at": _time(batch.created),
        "expires_at": _time(batch.created + EXPIRES),
        "ended_at": _time(batch.ended),
        "cancel_initiated_at": _time(batch.cancelled),
        "archived_at": None,
        "results_url": f"http://{batch.host}{batch.path}/{_PREFIX}{batch.id}/results" if ended else None,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
