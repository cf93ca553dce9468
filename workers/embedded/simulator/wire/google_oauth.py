"""Google's token endpoint, `POST /token`, and the access tokens that it gives."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Answer, Incoming, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.google_accounts import verify_assertion
from workers.embedded.simulator.wire.google_errors import json_response

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PREFIX = "ya29.simulated"
#: Seconds that a token holds.
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


class AccessTokens:
    """Gives and checks access tokens. Nothing is stored: a token says whose it is and until when, under a seal."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._seal = secrets.token_bytes(32)

    def give(self, email: str) -> str:
        """A token of a service account."""
        said = base64.urlsafe_b64encode(f"{self.now() + LIFETIME:.0f} {email}".encode()).decode()
        return f"{_PREFIX}.{said}.{self._sealed(said)}"

    def owner(self, token: str) -> str:
        """Whose token it is.

        Raises:
            Rejection: this server gave no such token, or it has expired.
        """
        head, _, seal = token.rpartition(".")
        said = head.removeprefix(f"{_PREFIX}.")
        if not hmac.compare_digest(seal.encode(errors="replace"), self._sealed(said).encode()):
            raise Rejection(Reason.WRONG_KEY)
        expires, email = base64.urlsafe_b64decode(said).decode().split(" ", 1)
        if float(expires) <= self.now():
            raise Rejection(Reason.EXPIRED_KEY)
        return email

    def _sealed(self, said: str) -> str:
        return hmac.new(self._seal, said.encode(errors="replace"), hashlib.sha256).hexdigest()


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
        token = self._tokens.give(account.key.get_secret_value())
        return json_response(200, {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"})

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
