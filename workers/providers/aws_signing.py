"""AWS Signature Version 4, by botocore."""

from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from workers.providers.aws_auth import AwsKeys


def sign(*, url: str, content: bytes, keys: AwsKeys, service: str, region: str, at: datetime) -> dict[str, str]:
    """The headers of a signed `POST` of JSON; valid for five minutes, for exactly this URL and these bytes.

    Not by `SigV4Auth.add_auth`: it takes the time from the operating system, and logs the session token at DEBUG.
    """
    token = keys.session_token.get_secret_value() if keys.session_token else None
    credentials = Credentials(keys.access_key_id, keys.secret_access_key.get_secret_value(), token)
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/json", "x-amz-date": stamp}
    if token is not None:
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
