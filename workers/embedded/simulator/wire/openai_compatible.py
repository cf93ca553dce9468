"""Servers that speak Chat Completions but are not OpenAI: any model, any parameter, a key only if one is sent."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Incoming, Outgoing, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire import openai_checks as checks
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.openai import dumped
from workers.embedded.simulator.wire.openai_chat import OpenAIChat
from workers.embedded.simulator.wire.openai_facts import ANY_MODEL, NONE, Facts

MODEL = "simulated-model"


class OpenAICompatible(OpenAIChat):
    """Chat Completions as self-hosted servers and gateways take it: lenient, without limit headers."""

    routes = (
        Route(method="POST", path="/v1/chat/completions", operation=Operation.ANSWER),
        Route(method="GET", path="/v1/models", operation=Operation.LOOKUP),
        Route(method="GET", path="/v1/models/{model}", operation=Operation.LOOKUP),
    )
    needs_key: ClassVar[bool] = False
    models: ClassVar[Mapping[str, Facts]] = {MODEL: ANY_MODEL}

    def find(self, model: str) -> Facts | None:
        """Any model is served."""
        return self.models.get(model, ANY_MODEL)

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """The models that the key is limited to, where it is; the list cannot name any model."""
        if "model" in incoming.params or account.models is None:
            return super().look_up(incoming, account)
        data = [{"id": name, "object": "model", "owned_by": "simulator"} for name in sorted(account.models)]
        return Outgoing(status=200, body=dumped({"object": "list", "data": data}))

    def cap(self, body: checks.Json, facts: Facts) -> int:
        """Caps may be as small as one token."""
        given = checks.typed(body, "max_completion_tokens", int) or checks.typed(body, "max_tokens", int)
        return min(max(given or facts.max_output, 1), facts.max_output)

    def check(self, body: checks.Json, facts: Facts) -> str:  # noqa: ARG002 - the signature is the parent's
        """Unknown parameters are ignored; streaming is not simulated."""
        if body.get("stream"):
            raise checks.not_simulated("stream")
        return NONE

    def answer_format(self, body: checks.Json, prompt: str) -> tuple[Mapping[str, Any] | None, int]:
        """Any schema is taken: strict mode and its dialect are OpenAI's own."""
        given = checks.typed(body, "response_format", dict) or {}
        if given.get("type") == "json_schema":
            inner = checks.typed(given, "json_schema", dict, param="response_format.json_schema") or {}
            return checks.schema({**inner, "strict": False}, param="response_format", code=None)
        return super().answer_format(body, prompt + " json")

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - as above
        """Such servers send an id at most."""
        return {"x-request-id": receipt.request_id}

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:
        """As OpenAI, but for expired keys: there, gateways have a type of their own."""
        if rejection.reason is not Reason.EXPIRED_KEY:
            return super().reject(rejection, incoming)
        error = {
            "message": "Authentication Error - Expired Key. Key Expiry time 2026-01-01 00:00:00+00:00",
            "type": "expired_key",
            # A widespread gateway does repeat the whole key here; callers must not let it out.
            "param": self.credential(incoming),
            "code": "400",
        }
        return Outgoing(status=rejection.status or HTTPStatus.BAD_REQUEST, body=dumped({"error": error}))
