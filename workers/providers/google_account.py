"""Google service accounts: the JSON key file that customers paste, and what is signed with it. Pure."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

#: The one address that a signed assertion may be sent to. A key file that names another could have it sent anywhere.
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Seconds that an assertion holds; the vendor takes no longer.
_LIFETIME = 3_600

#: Field → what to say when it does not fit. The key's own text is never quoted.
_MENDS = {
    "type": "it is not the key of a service account; create a key of type JSON for one",
    "token_uri": f"its token_uri is not {TOKEN_URL}; paste the file as Google made it",
    "universe_domain": "it belongs to another cloud than googleapis.com",
}


class ServiceAccount(BaseModel):
    """The parts of a key file that are used."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    #: `external_account` and `authorized_user` files can name any host and any command; they are refused.
    type: Literal["service_account"]
    client_email: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{1,128}@[A-Za-z0-9.-]{1,253}$")]
    private_key: SecretStr
    private_key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    token_uri: Literal["https://oauth2.googleapis.com/token"]
    project_id: Annotated[str, Field(min_length=1, max_length=256)]
    universe_domain: Literal["googleapis.com"] = "googleapis.com"


class BadServiceAccount(Exception):
    """The key file cannot be used; the text says why and quotes nothing secret."""


def read_service_account(text: str) -> ServiceAccount:
    """The service account of a key file.

    Raises:
        BadServiceAccount: it is none, or not one that may be used.
    """
    try:
        return ServiceAccount.model_validate_json(text)
    except ValidationError as error:
        fields = [str(entry["loc"][0]) if entry["loc"] else "" for entry in error.errors(include_input=False)]
    known = next((_MENDS[field] for field in _MENDS if field in fields), None)
    missing = f"it lacks a usable {' and '.join(dict.fromkeys(fields))}; paste the whole file as Google made it"
    raise BadServiceAccount(known or (missing if all(fields) else "it is not a JSON key file"))


def sign_assertion(account: ServiceAccount, *, audience: str, now: datetime) -> str:
    """A JWT by which the account asks for an access token (RFC 7523); takes some milliseconds.

    Raises:
        BadServiceAccount: the private key is damaged.
    """
    # A fifth of a second that only workers with a Vertex connection need to spend.
    from google.auth import crypt, jwt  # noqa: PLC0415

    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": account.client_email,
        "scope": _SCOPE,
        "aud": audience,
        "iat": issued,
        "exp": issued + _LIFETIME,
    }
    try:
        # google-auth has types for neither of the two.
        signer = crypt.RSASigner.from_string(  # type: ignore[no-untyped-call]
            account.private_key.get_secret_value(), account.private_key_id
        )
        token: bytes = jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # Not chained: the parser's own complaint may quote the key.
        token = b""
    if not token:
        raise BadServiceAccount("its private_key is damaged; paste the whole file as Google made it")
    return token.decode("ascii")
