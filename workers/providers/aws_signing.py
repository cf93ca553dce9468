"""AWS Signature Version 4, by botocore."""

from datetime import UTC, datetime
from typing import Annotated

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from config.headers import fits_header


class AwsKeys(BaseModel):
    """What requests are signed with."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    access_key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{16,128}$")]
    secret_access_key: SecretStr
    session_token: SecretStr | None = None

    @field_validator("secret_access_key", "session_token")
    @classmethod
    def _check(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not fits_header(secret.get_secret_value()):
            raise ValueError("is empty, or holds spaces, line breaks or characters outside ASCII")
        return secret


def sign(*, url: str, content: bytes, keys: AwsKeys, service: str, region: str, at: datetime) -> dict[str, str]:
    """The headers of a signed `POST` of JSON; valid for five minutes, for exactly this URL and these bytes."""
    token = keys.session_token.get_secret_value() if keys.session_token else None
    credentials = Credentials(keys.access_key_id, keys.secret_access_key.get_secret_value(), token)
    return sign_as(
        credentials, url=url, content=content, content_type="application/json", service=service, region=region, at=at
    )


def sign_as(
    credentials: Credentials, *, url: str, content: bytes, content_type: str, service: str, region: str, at: datetime
) -> dict[str, str]:
    """The same, with keys as botocore has them, of a body of any type.

    Not by `SigV4Auth.add_auth`: it takes the time from the operating system, and logs the session token at DEBUG.
    """
    token = credentials.token
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": content_type, "x-amz-date": stamp}
    if token:
        headers["x-amz-security-token"] = token
    request = AWSRequest(method="POST", url=url, headers=headers, data=content)
    request.context["timestamp"] = stamp
    signer = SigV4Auth(credentials, service, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signed = signer.signed_headers(signer.headers_to_sign(request))
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={signed}, Signature={signature}"
    )
    return headers
