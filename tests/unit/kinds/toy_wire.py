"""`workers/embedded/simulator/wire/toy.py`: a vendor's wire format that nobody has heard of."""

import json
from collections.abc import Mapping

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Answer, Incoming, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire.base import Operation, Route

_MODEL = "toy-1"
_STATUSES = {
    Reason.MISSING_KEY: 401,
    Reason.WRONG_KEY: 401,
    Reason.MODEL_NOT_FOUND: 404,
    Reason.RATE_LIMITED: 429,
    Reason.QUOTA_EXHAUSTED: 418,
    Reason.SERVER_ERROR: 500,
}


class ToyWire:
    """Rules and a wish go in; what was said comes out."""

    routes = (
        Route(method="POST", path="/play", operation=Operation.ANSWER),
        Route(method="GET", path="/toys", operation=Operation.LOOKUP),
    )
    needs_key = True

    def credential(self, incoming: Incoming) -> str | None:
        """The key of its own header."""
        return incoming.headers.get("toy-key")

    def parse(self, incoming: Incoming) -> Question:
        """What a request asks."""
        asked = json.loads(incoming.body)
        if asked["model"] != _MODEL:
            raise Rejection(Reason.MODEL_NOT_FOUND, model=asked["model"])
        return Question(
            model=_MODEL,
            system=asked["rules"],
            user=asked["please"],
            schema=asked["shape"],
            max_output_tokens=asked["most"],
            tags=asked["tags"],
        )

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:  # noqa: ARG002 - the signature is `Wire`'s
        """An answer."""
        used = {"in": answer.usage.prompt, "out": answer.usage.output}
        return Outgoing(status=200, body=json.dumps({"said": answer.text, "used": used}).encode())

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:  # noqa: ARG002 - as above
        """The list of models."""
        return Outgoing(status=200, body=json.dumps({"toys": [{"id": _MODEL}]}).encode())

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - as above
        """An error."""
        why = "no_more_marbles" if rejection.reason is Reason.QUOTA_EXHAUSTED else rejection.reason.value
        return Outgoing(status=_STATUSES.get(rejection.reason, 400), body=json.dumps({"why": why}).encode())

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - as above
        """What is left of its limit."""
        if reading is None:
            return {}
        return {"toy-tokens-limit": str(reading.tokens.limit), "toy-tokens-remaining": str(reading.tokens.remaining)}
