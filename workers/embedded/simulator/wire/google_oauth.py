"""Google's token endpoint, `POST /token`, and the access tokens that it gives."""

import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Answer, Incoming, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.google_accounts import verify_assertion
from workers.embedded.simulator.wire.google_errors import json_response
from workers.embedded.simulator.wire.lent import Lent

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: What all tokens begin with.
TOKEN_PREFIX = "ya29.simulated"  # noqa: S105 - no token, but what tokens begin with
#: Seconds that a token holds, unless its account says otherwise.
LIFETIME = 3_599

#: Status, code and words of each reason; all others are invalid requests.
_ERRORS: Mapping[Reason, tuple[int, str, str]] = {
    Reason.WRONG_KEY: (400, "invalid_grant", "Invalid JWT Signature."),
    Reason.EXPIRED_KEY: (400, "invalid_grant", "Invalid grant: account not found"),
    Reason.FORBIDDEN: (
        401,
        "unauthorized_client",
        "Client is unauthorized to retrieve access tokens using this method.",
    ),
    Reason.RATE_LIMITED: (429, "rate_limited", "Rate limit exceeded."),
    Reason.SERVER_ERROR: (500, "internal_failure", "Backend Error"),
    Reason.OVERLOADED: (503, "temporarily_unavailable", "The service is temporarily unavailable."),
}
_INVALID = (400, "invalid_request", "Required parameter is missing: grant_type")


class AccessTokens(Lent):
    """Gives and checks access tokens of service accounts."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(TOKEN_PREFIX, now=now)

    def give(self, email: str, *, seconds: float = LIFETIME) -> str:
        """A token of a service account."""
        return self.lend(email, seconds=seconds)


class GoogleOAuth:
    """The wire format of the token endpoint."""

    routes = (Route(method="POST", path="/token", operation=Operation.LOOKUP),)
    needs_key = True

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    def credential(self, incoming: Incoming) -> str | None:
        """The service account that signed the assertion."""
        form = parse_qs(incoming.body.decode(errors="replace"))
        if form.get("grant_type") != [_GRANT] or "assertion" not in form:
            return None
        return verify_assertion(form["assertion"][0], now=self._tokens.now())

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:  # noqa: ARG002 - the interface's
        """An access token."""
        lifetime = account.lends_for or LIFETIME
        token = self._tokens.give(account.key.get_secret_value(), seconds=account.revokes_after or lifetime)
        return json_response(200, {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"})

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error of OAuth's: code and description."""
        status, code, words = _ERRORS.get(rejection.reason, _INVALID)
        document = {"error": rejection.code or code, "error_description": rejection.message or words}
        return json_response(rejection.status or status, document)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """None that tell anything."""
        return {}

    def parse(self, incoming: Incoming) -> Question:  # noqa: ARG002 - the interface's
        """No model is run here."""
        raise Rejection(Reason.PATH_NOT_FOUND)

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:  # noqa: ARG002 - the interface's
        """No model is run here."""
        raise Rejection(Reason.PATH_NOT_FOUND)
