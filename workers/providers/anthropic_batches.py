"""Anthropic's Message Batches: calls inline, results as JSON lines. A batch takes no name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.contract import Tier
from workers.providers.anthropic_wire import VERSION, base_url, messages_body, read_error
from workers.providers.base import Call, Fault, WireRequest, WireResponse
from workers.providers.batches import BatchItem, BatchView, Outcome, Undone
from workers.providers.delays import instant
from workers.providers.faults import FOREIGN, RuledProvider, Signal, fault_of
from workers.providers.wire import api_key, count, decode, encode, objects, part

#: Batches of one page of the list; one that was sent a moment ago is among the latest.
_LISTED = 100

#: Type of an error → the status that it comes with when a call is made alone.
_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNDONE: Mapping[str, Undone] = {"expired": Undone.EXPIRED, "canceled": Undone.CANCELLED}


class AnthropicBatches:
    """The batches of api.anthropic.com."""

    #: The vendor takes 100,000 calls or 256 MB; what a worker has in memory at once is less.
    most_items = 2_000
    most_bytes = 12 * 1024 * 1024

    def __init__(self, provider: RuledProvider) -> None:
        self._provider = provider

    def item_size(self, call: Call) -> int:
        """Bytes that a call adds to the request."""
        return len(encode(messages_body(call))) + 100

    def submit(self, items: Sequence[BatchItem], *, name: str) -> WireRequest | Fault:  # noqa: ARG002 - it takes none
        """The request that sends a batch."""
        requests = [{"custom_id": item.id, "params": messages_body(item.call)} for item in items]
        return self._request(items[0].call, "POST", "", encode({"requests": requests}))

    def look(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that asks how far it is."""
        return self._request(access, "GET", f"/{batch_id}")

    def read(self, access: Call, response: WireResponse) -> BatchView | Fault:
        """What came of sending it, or of asking."""
        body = self._body(access, response)
        if isinstance(body, Fault):
            return body
        return _view(body) or _foreign(self._provider, access, response)

    def listing(self, access: Call) -> WireRequest | Fault:
        """The request for the vendor's latest batches."""
        return self._request(access, "GET", f"?limit={_LISTED}")

    def read_listing(self, access: Call, response: WireResponse) -> list[BatchView] | Fault:
        """The vendor's latest batches."""
        body = self._body(access, response)
        if isinstance(body, Fault):
            return body
        return [view for batch in objects(body.get("data")) if (view := _view(batch))]

    def results(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request for the results; not at the address that the vendor names, which is not ours to trust."""
        return self._request(access, "GET", f"/{batch_id}/results")

    def read_results(self, access: Call, response: WireResponse, ids: Sequence[str]) -> Mapping[str, Outcome] | Fault:
        """What came of each call."""
        if response.status != 200:  # noqa: PLR2004 - the one status with results
            return read_error(access, response, self._provider.rules)
        known = frozenset(ids)
        outcomes: dict[str, Outcome] = {}
        for line in response.content.splitlines():
            found = decode(line) or {}
            if (name := found.get("custom_id")) in known:
                outcomes[str(name)] = self._outcome(access, part(found, "result"))
        return outcomes

    def cancel(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that ends it early."""
        return self._request(access, "POST", f"/{batch_id}/cancel")

    def delete(self, access: Call, batch_id: str) -> WireRequest | Fault:
        """The request that makes the vendor forget it."""
        return self._request(access, "DELETE", f"/{batch_id}")

    def _request(self, access: Call, method: str, path: str, content: bytes = b"") -> WireRequest | Fault:
        key = api_key(access)
        if isinstance(key, Fault):
            return key
        return WireRequest(
            method=method,
            url=f"{base_url(access)}/v1/messages/batches{path}",
            headers={"x-api-key": key, "anthropic-version": VERSION, "content-type": "application/json"},
            content=content,
        )

    def _body(self, access: Call, response: WireResponse) -> Mapping[str, Any] | Fault:
        if response.status != 200:  # noqa: PLR2004 - the one status with an answer
            return read_error(access, response, self._provider.rules)
        return decode(response.content) or {}

    def _outcome(self, access: Call, result: Mapping[str, Any]) -> Outcome:
        """As if the call had been made alone."""
        kind = str(result.get("type"))
        if kind in _UNDONE:
            return _UNDONE[kind]
        if kind == "succeeded":
            message = part(result, "message")
            headers = {"request-id": str(message.get("id", ""))}
            alone = WireResponse(status=200, headers=headers, content=json.dumps(message).encode())
        else:
            error = part(result, "error")
            status = _STATUSES.get(str(part(error, "error").get("type")), 500)
            alone = WireResponse(status=status, headers={}, content=json.dumps(error).encode())
        answer = self._provider.read(access, alone)
        return replace(answer, tier=Tier.BATCH) if answer.usage.total else answer


def _view(batch: Mapping[str, Any]) -> BatchView | None:
    name, status = batch.get("id"), batch.get("processing_status")
    if not isinstance(name, str) or not isinstance(status, str):
        return None
    return BatchView(
        id=name,
        ended=status == "ended",
        created_at=instant(str(batch.get("created_at"))),
        size=sum(count(number) for number in part(batch, "request_counts").values()),
    )


def _foreign(provider: RuledProvider, access: Call, response: WireResponse) -> Fault:
    return fault_of(access, response, provider.rules, Signal(status=200, codes=(FOREIGN,)))
