"""AWS Signature Version 4 from the server's side, written from AWS's description of it and not from a client's code."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from pydantic import SecretStr

from workers.embedded.simulator.exchange import Incoming, Reason, Rejection

_ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    _ALGORITHM
    + r" Credential=(?P<id>\w+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_STAMP = "%Y%m%dT%H%M%SZ"
#: How far a client's clock may be off.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The owner of an access key."""

    secret_access_key: SecretStr
    #: Of temporary keys; they are worth nothing without it.
    session_token: SecretStr | None = None
    #: Whose account they belong to in the simulator; absent means that the access key id names it.
    account: str | None = None


#: Finds the owner of an access key id; None when there is none.
Resolver = Callable[[str], Identity | None]


def simulated_secret(access_key_id: str) -> str:
    """The secret of an access key that only the simulator knows: derived from its id, so that nothing is stored."""
    return hashlib.sha256(f"simulated secret of {access_key_id}".encode()).hexdigest()[:40]


def simulated_credential(access_key_id: str) -> str:
    """What to store as the credential of a connection to the simulator."""
    return json.dumps({"access_key_id": access_key_id, "secret_access_key": simulated_secret(access_key_id)})


def simulated_credential_of(owner: str) -> str:
    """The same, with an access key id of the owner's own."""
    return simulated_credential(f"AKIA{hashlib.sha256(owner.encode()).hexdigest()[:16].upper()}")


def resolve_simulated(access_key_id: str) -> Identity:
    """The owner of a simulated access key."""
    return Identity(secret_access_key=SecretStr(simulated_secret(access_key_id)))


def verify(incoming: Incoming, *, resolve: Resolver, service: str, now: datetime) -> str | None:
    """The key of the account that signed a request; None when the request is not signed.

    Raises:
        Rejection: the signature is not the one that this key makes over these bytes.
    """
    headers = {name.lower(): value for name, value in incoming.headers.items()}
    authorization = headers.get("authorization")
    if authorization is None:
        return None
    parts = _AUTHORIZATION.fullmatch(authorization)
    stamp = headers.get("x-amz-date", "")
    if parts is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise _refused("IncompleteSignatureException", "Authorization header requires 'Credential', 'Signature' …")
    identity = resolve(parts["id"])
    if identity is None or headers.get("x-amz-security-token") != _revealed(identity.session_token):
        raise _refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    _check_age(stamp, now)
    signed = parts["headers"].split(";")
    expected = _signature(incoming, headers, signed, stamp, parts, identity)
    scope_fits = parts["service"] == service and parts["day"] == stamp[:8]
    needed = {"host", "x-amz-date", *(("x-amz-security-token",) if identity.session_token else ())}
    if not scope_fits or not needed <= set(signed) or not hmac.compare_digest(expected, parts["signature"]):
        raise _refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    return identity.account or parts["id"]


def _check_age(stamp: str, now: datetime) -> None:
    made = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    if made < now - _SKEW:
        earliest = (now - _SKEW).strftime(_STAMP)
        raise _refused("InvalidSignatureException", f"Signature expired: {stamp} is now earlier than {earliest}")
    if made > now + _SKEW:
        latest = (now + _SKEW).strftime(_STAMP)
        raise _refused("InvalidSignatureException", f"Signature not yet current: {stamp} is still later than {latest}")


def _signature(
    incoming: Incoming,
    headers: Mapping[str, str],
    signed: list[str],
    stamp: str,
    parts: re.Match[str],
    identity: Identity,
) -> str:
    canonical = "\n".join(
        (
            incoming.method,
            # What came over the wire is encoded once more.
            quote(incoming.raw_path, safe="/-_.~"),
            incoming.query,
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(incoming.body).hexdigest(),
        )
    )
    scope = f"{parts['day']}/{parts['region']}/{parts['service']}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{identity.secret_access_key.get_secret_value()}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.digest(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _refused(code: str, message: str) -> Rejection:
    return Rejection(Reason.WRONG_KEY, message, code=code)
