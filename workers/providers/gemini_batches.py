"""Batches of the Gemini API: calls and results inline; a batch is named, and found again by its name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tasks.contract import Tier
from workers.clock import Clock
from workers.providers.base import Call, Fault, WireRequest, WireResponse
from workers.providers.batches import BatchItem, BatchView, Outcome, Undone
from workers.providers.delays import instant
from workers.providers.faults import FOREIGN, RuledProvider, Signal, fault_of
from workers.providers.google_wire import gemini_url, generate_body, read_generated
from workers.providers.wire import api_key, decode, encode, objects, part

#: Batches of one page of the list; one that was sent a moment ago is among the latest.
_LISTED = 100
#: Where results carry the id of their call.
_KEY = "key"

#: States of a batch that has ended → what became of calls without a result.
_ENDED: Mapping[str, Undone] = {
    "SUCCEEDED": Undone.LOST,
    "PARTIALLY_SUCCEEDED": Undone.LOST,
    "FAILED": Undone.LOST,
    "CANCELLED": Undone.CANCELLED,
    "EXPIRED": Undone.EXPIRED,
}
#: Canonical codes of Google's RPCs → the status and name that they come with over HTTP.
_STATUSES: Mapping[int, tuple[int, str]] = {
    1: (499, "CANCELLED"),
    3: (400, "INVALID_ARGUMENT"),
    4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"),
    7: (403, "PERMISSION_DENIED"),
    8: (429, "RESOURCE_EXHAUSTED"),
    9: (400, "FAILED_PRECONDITION"),
    13: (500, "INTERNAL"),
    14: (503, "UNAVAILABLE"),
    16: (401, "UNAUTHENTICATED"),
}


class GeminiBatches:
    """The batches of generativelanguage.googleapis.com."""

    #: The vendor takes 20 MB inline.
    most_items = 2_000
    most_bytes = 12 * 1024 * 1024

    def __init__(self, provider: RuledProvider, *, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock

    def item_size(self, call: Call) -> int:
        """Bytes that a call adds to the request."""
        return len(encode(_inlined(BatchItem(id="x" * 40, call=call)))) + 1

    def submit(self, items: Sequence[BatchItem], *, name: str) -> WireRequest | Fault:
        """The request that sends a batch."""
        access = items[0].call
        requests = [_inlined(item) for item in items]
        body = {"batch": {"displayName": name, "inputConfig": {"requests": {"requests": requests}}}}
        path = f"models/{quote(access.connection.model, safe='')}:batchGenerateContent"
        return self._request(access, "POST", path, encode(body))

    def look(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that asks how far it is."""
        return self._request(access, "GET", _path(batch_id))

    def read(self, access: Call, response: WireResponse) -> BatchView | Fault:
        """What came of sending it, or of asking."""
        body = self._body(access, response)
        if isinstance(body, Fault):
            return body
        return _view(body) or self._foreign(access, response)

    def listing(self, access: Call) -> WireRequest | Fault:
        """The request for the vendor's latest batches."""
        return self._request(access, "GET", f"batches?pageSize={_LISTED}")

    def read_listing(self, access: Call, response: WireResponse) -> list[BatchView] | Fault:
        """The vendor's latest batches."""
        body = self._body(access, response)
        if isinstance(body, Fault):
            return body
        return [view for operation in objects(body.get("operations")) if (view := _view(operation))]

    def results(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The same as `look`: results come inline."""
        return self.look(access, batch_id)

    def read_results(self, access: Call, response: WireResponse, ids: Sequence[str]) -> Mapping[str, Outcome] | Fault:
        """What came of each call: by the id that it carries, and else by its place."""
        body = self._body(access, response)
        if isinstance(body, Fault):
            return body
        known = frozenset(ids)
        listed = objects(part(_output(body), "inlinedResponses").get("inlinedResponses"))
        outcomes: dict[str, Outcome] = {}
        for place, inlined in enumerate(listed):
            name = part(inlined, "metadata").get(_KEY)
            if name is None and len(listed) == len(ids):
                name = ids[place]
            if name in known:
                outcomes[str(name)] = self._outcome(access, inlined)
        return outcomes

    def cancel(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that ends it early."""
        return self._request(access, "POST", f"{_path(batch_id)}:cancel", b"{}")

    def delete(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that makes the vendor forget it."""
        return self._request(access, "DELETE", _path(batch_id))

    def _request(self, access: Call, method: str, path: str, content: bytes = b"") -> WireRequest | Fault:
        key = api_key(access)
        if isinstance(key, Fault):
            return key
        return WireRequest(
            method=method,
            url=f"{gemini_url(access)}/{path}",
            headers={"x-goog-api-key": key, "content-type": "application/json"},
            content=content,
        )

    def _body(self, access: Call, response: WireResponse) -> Mapping[str, Any] | Fault:
        body = decode(response.content)
        if response.status == 200 and body is not None:  # noqa: PLR2004 - the one status with an answer
            return body
        answer = read_generated(access, response, self._provider.rules, now=self._clock.now())
        return answer if isinstance(answer, Fault) else self._foreign(access, response)

    def _foreign(self, access: Call, response: WireResponse) -> Fault:
        return fault_of(access, response, self._provider.rules, Signal(status=200, codes=(FOREIGN,)))

    def _outcome(self, access: Call, inlined: Mapping[str, Any]) -> Outcome:
        """As if the call had been made alone."""
        if "response" in inlined:
            alone = WireResponse(status=200, headers={}, content=json.dumps(inlined["response"]).encode())
        else:
            error = part(inlined, "error")
            status, name = _STATUSES.get(error.get("code", 13), (500, "INTERNAL"))
            content = {"error": {**error, "code": status, "status": name}}
            alone = WireResponse(status=status, headers={}, content=json.dumps(content).encode())
        answer = read_generated(access, alone, self._provider.rules, now=self._clock.now())
        return replace(answer, tier=Tier.BATCH) if answer.usage.total else answer


def _inlined(item: BatchItem) -> dict[str, Any]:
    # Prompts would otherwise be kept for longer than the batch, in projects of late 2026 and later.
    return {"request": {"store": False, **generate_body(item.call)}, "metadata": {_KEY: item.id}}


def _path(batch_id: str) -> str:
    """`batches/ID`; what the vendor called it is one segment, whatever it holds."""
    return f"batches/{quote(batch_id.removeprefix('batches/'), safe='')}"


def _output(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The results stand in the metadata, and in the operation's response."""
    return part(operation, "metadata", "output") or part(operation, "response")


def _view(operation: Mapping[str, Any]) -> BatchView | None:
    metadata, name = part(operation, "metadata"), operation.get("name")
    if not isinstance(name, str):
        return None
    state = str(metadata.get("state", "")).removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    called = metadata.get("displayName")
    return BatchView(
        id=name,
        ended=state in _ENDED or operation.get("done") is True,
        created_at=instant(str(metadata.get("createTime"))),
        name=called if isinstance(called, str) else "",
        missing=_ENDED.get(state, Undone.LOST),
    )
