"""AWS STS as far as it lends a role: `POST /` with `Action=AssumeRole`, signed."""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from pydantic import SecretStr

from workers.embedded.simulator.accounts import Account
from workers.embedded.simulator.exchange import Answer, Incoming, Outgoing, Question, Reason, Receipt, Rejection
from workers.embedded.simulator.meter import Reading
from workers.embedded.simulator.wire.aws_signature import Identity, Resolver, resolve_simulated, verify
from workers.embedded.simulator.wire.base import Operation, Route
from workers.embedded.simulator.wire.lent import Lent

#: What the tokens and the secrets of all sessions begin with.
SESSION_PREFIX = "IQoJ-simulated"
_SPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::\d{12}:role/[\w+=,.@/-]{1,576}")
#: Seconds that a session holds unless the request says otherwise, and that it may ask for.
_USUAL, _LEAST, _MOST = 3_600, 900, 43_200

#: Status, code and words of each reason; all others are invalid requests.
_ERRORS: Mapping[Reason, tuple[int, str, str]] = {
    Reason.MISSING_KEY: (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    Reason.WRONG_KEY: (403, "InvalidClientTokenId", "The security token included in the request is invalid."),
    Reason.EXPIRED_KEY: (403, "ExpiredToken", "The security token included in the request is expired"),
    Reason.FORBIDDEN: (403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole on the role."),
    Reason.RATE_LIMITED: (400, "Throttling", "Rate exceeded"),
    Reason.SERVER_ERROR: (500, "InternalFailure", "An internal error has occurred."),
    Reason.OVERLOADED: (503, "ServiceUnavailable", "The service is temporarily unavailable."),
}
_INVALID = (400, "ValidationError", "The request is not valid.")
#: Codes of a bad signature in Bedrock's spelling → in that of STS.
_SPELLINGS = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
    "UnrecognizedClientException": "InvalidClientTokenId",
}


def _now() -> datetime:
    return datetime.now(UTC)


class Sessions(Lent):
    """Gives and checks temporary keys of roles; the session token says whose they are and until when."""

    def __init__(self, *, now: Callable[[], datetime] = _now) -> None:
        super().__init__(SESSION_PREFIX, now=lambda: now().timestamp())
        self.clock = now

    def keys(self, token: str) -> tuple[str, str]:
        """Access key id and secret that belong to a session token."""
        access_key_id = f"ASIA{hashlib.sha256(token.encode()).hexdigest()[:16].upper()}"
        return access_key_id, f"{SESSION_PREFIX}-secret-{self.sealed(f'secret of {token}')[:32]}"

    def resolver(self, token: str) -> Resolver:
        """Finds the owner of the keys of one session."""
        return partial(self._find, token)

    def _find(self, token: str, access_key_id: str) -> Identity | None:
        account = self.owner(token)
        known, secret = self.keys(token)
        if access_key_id != known:
            return None
        return Identity(secret_access_key=SecretStr(secret), session_token=SecretStr(token), account=account)


class AwsSts:
    """The wire format of STS. Any role is lent to whoever signs with a simulated access key."""

    routes = (Route(method="POST", path="/", operation=Operation.LOOKUP),)
    needs_key = True

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def credential(self, incoming: Incoming) -> str | None:
        """The access key id that signed."""
        return verify(incoming, resolve=resolve_simulated, service="sts", now=self._sessions.clock())

    def look_up(self, incoming: Incoming, account: Account) -> Outgoing:
        """Keys of a role."""
        form = {name: values[0] for name, values in parse_qs(incoming.body.decode(errors="replace")).items()}
        role, lifetime = form.get("RoleArn", ""), form.get("DurationSeconds", str(_USUAL))
        if form.get("Action") != "AssumeRole":
            raise Rejection(Reason.BAD_REQUEST, "Could not find operation for version 2011-06-15", code="InvalidAction")
        if not _ROLE.fullmatch(role) or "RoleSessionName" not in form:
            raise Rejection(Reason.BAD_REQUEST, "1 validation error detected: roleArn or roleSessionName is invalid")
        if not lifetime.isdecimal() or not _LEAST <= int(lifetime) <= _MOST:
            raise Rejection(Reason.BAD_REQUEST, "1 validation error detected: durationSeconds is out of range")
        seconds = account.lends_for or int(lifetime)
        ends_at = datetime.fromtimestamp(self._sessions.now() + seconds, UTC)
        token = self._sessions.lend(role, seconds=account.revokes_after or seconds)
        access_key_id, secret = self._sessions.keys(token)
        fields = {
            "AccessKeyId": access_key_id,
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        keys = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        inner = f"<AssumeRoleResult><Credentials>{keys}</Credentials></AssumeRoleResult>"
        return _xml(200, f'<AssumeRoleResponse xmlns="{_SPACE}">{inner}</AssumeRoleResponse>')

    def reject(self, rejection: Rejection, incoming: Incoming) -> Outgoing:  # noqa: ARG002 - the interface's
        """An error: its code and its words."""
        status, code, words = _ERRORS.get(rejection.reason, _INVALID)
        code = _SPELLINGS.get(rejection.code or "", rejection.code or code)
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(rejection.message or words)}</Message>"
        body = f'<ErrorResponse xmlns="{_SPACE}">{error}</Error><RequestId>simulated</RequestId></ErrorResponse>'
        return _xml(rejection.status or status, body)

    def headers(self, receipt: Receipt, reading: Reading | None, seconds: float) -> Mapping[str, str]:  # noqa: ARG002 - the interface's
        """An id."""
        return {"x-amzn-requestid": receipt.request_id}

    def parse(self, incoming: Incoming) -> Question:  # noqa: ARG002 - the interface's
        """No model is run here."""
        raise Rejection(Reason.PATH_NOT_FOUND)

    def render(self, question: Question, answer: Answer, receipt: Receipt) -> Outgoing:  # noqa: ARG002 - the interface's
        """No model is run here."""
        raise Rejection(Reason.PATH_NOT_FOUND)


def _xml(status: int, body: str) -> Outgoing:
    return Outgoing(status=status, body=body.encode(), content_type="text/xml")
