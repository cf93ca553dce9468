"""Signatures, judged by botocore's own full signer and by the simulator's verifier, which shares no code with it."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from workers.embedded.simulator.exchange import Incoming, Rejection
from workers.embedded.simulator.wire.aws_signature import Identity, verify
from workers.providers.aws_signing import AwsKeys, sign

_NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYcanary"
_TOKEN = "FQoGZXIvYXdzEBYaDcanary=="
_KEYS = AwsKeys(
    access_key_id="ASIAIOSFODNN7EXAMPLE", secret_access_key=SecretStr(_SECRET), session_token=SecretStr(_TOKEN)
)
_LONG_LIVED = AwsKeys(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key=SecretStr(_SECRET))
_URL = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse"
_PROFILE = "https://vpce.example.com:8443/aws/model/arn:aws:bedrock:us-east-1:1:inference-profile%2Fabc/converse"
_CONTENT = '{"text":"Adä lives in Paris."}'.encode()


def _signed(url: str = _URL, *, keys: AwsKeys = _KEYS, at: datetime = _NOW) -> dict[str, str]:
    return sign(url=url, content=_CONTENT, keys=keys, service="bedrock", region="eu-central-1", at=at)


def _incoming(url: str = _URL, *, keys: AwsKeys = _KEYS) -> Incoming:
    """The request as a server sees it."""
    parts = urlsplit(url)
    return Incoming(
        method="POST",
        path=parts.path,
        raw_path=parts.path,
        headers={"host": parts.netloc, **_signed(url, keys=keys)},
        body=_CONTENT,
    )


def _identity(access_key_id: str) -> Identity | None:
    return {
        _KEYS.access_key_id: Identity(
            secret_access_key=SecretStr(_SECRET), session_token=SecretStr(_TOKEN), account="customer"
        ),
        _LONG_LIVED.access_key_id: Identity(secret_access_key=SecretStr(_SECRET)),
    }.get(access_key_id)


def _verified(incoming: Incoming, *, now: datetime = _NOW, service: str = "bedrock") -> str | None:
    return verify(incoming, resolve=_identity, service=service, now=now)


@pytest.mark.parametrize("keys", [_KEYS, _LONG_LIVED], ids=["session", "long-lived"])
@pytest.mark.parametrize("url", [_URL, _PROFILE], ids=["model", "profile"])
def test_the_signature_is_the_one_that_botocore_makes(url: str, keys: AwsKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: _NOW.replace(tzinfo=None))
    token = keys.session_token.get_secret_value() if keys.session_token else None
    theirs = AWSRequest(method="POST", url=url, data=_CONTENT, headers={"content-type": "application/json"})
    botocore.auth.SigV4Auth(Credentials(keys.access_key_id, _SECRET, token), "bedrock", "eu-central-1").add_auth(theirs)
    expected = {name.lower(): value for name, value in theirs.headers.items()}
    assert _signed(url, keys=keys) == expected


def test_the_instant_may_be_given_with_any_offset() -> None:
    assert _signed(at=_NOW.astimezone(timezone(timedelta(hours=9)))) == _signed()


@pytest.mark.parametrize("url", [_URL, _PROFILE], ids=["model", "profile"])
def test_a_server_that_shares_no_code_with_the_client_accepts_it(url: str) -> None:
    assert _verified(_incoming(url)) == "customer"
    assert _verified(_incoming(url, keys=_LONG_LIVED)) == "AKIAIOSFODNN7EXAMPLE"


def _with_header(name: str, value: str) -> Incoming:
    incoming = _incoming()
    return replace(incoming, headers={**incoming.headers, name: value})


_AUTHORIZATION = _signed()["authorization"]
_CHANGED: dict[str, Incoming] = {
    "a byte of the body": replace(_incoming(), body=_CONTENT.replace(b"A", b"a")),
    "one more byte": replace(_incoming(), body=_CONTENT + b" "),
    "a colon that is encoded on the way": replace(_incoming(), raw_path=_incoming().raw_path.replace(":", "%3A")),
    "another model": replace(_incoming(), raw_path=_incoming().raw_path.replace("us.", "eu.")),
    "a query": replace(_incoming(), query="x=1"),
    "another method": replace(_incoming(), method="PUT"),
    "another host": _with_header("host", "evil.example.com"),
    "another content type": _with_header("content-type", "text/plain"),
    "another date": _with_header("x-amz-date", "20261123T120006Z"),
    "another region": _with_header("authorization", _AUTHORIZATION.replace("eu-central-1", "us-east-1")),
    "a digit of the signature": _with_header(
        "authorization", _AUTHORIZATION[:-1] + ("0" if _AUTHORIZATION[-1] != "0" else "1")
    ),
    "a header less that is signed": _with_header("authorization", _AUTHORIZATION.replace("host;", "")),
}


@pytest.mark.parametrize("incoming", _CHANGED.values(), ids=_CHANGED.keys())
def test_whatever_is_changed_breaks_the_signature(incoming: Incoming) -> None:
    with pytest.raises(Rejection, match="does not match") as refused:
        _verified(incoming)
    assert refused.value.code == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("incoming", "code"),
    [
        (_with_header("x-amz-security-token", "another"), "UnrecognizedClientException"),
        (_with_header("authorization", _AUTHORIZATION.replace("ASIA", "ASIB")), "UnrecognizedClientException"),
        (_with_header("authorization", "Bearer sk-1"), "IncompleteSignatureException"),
        (_with_header("x-amz-date", "yesterday"), "IncompleteSignatureException"),
    ],
)
def test_what_is_no_signature_of_a_known_key_is_refused(incoming: Incoming, code: str) -> None:
    with pytest.raises(Rejection) as refused:
        _verified(incoming)
    assert refused.value.code == code


def test_an_unsigned_request_has_no_owner() -> None:
    assert _verified(replace(_incoming(), headers={"host": "x"})) is None


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(Rejection, match="does not match"):
        _verified(_incoming(), service="sts")


@pytest.mark.parametrize(
    ("minutes", "says"), [(5.1, "Signature expired"), (-5.1, "Signature not yet current"), (4.9, None), (-4.9, None)]
)
def test_a_signature_holds_for_five_minutes(minutes: float, says: str | None) -> None:
    now = _NOW + timedelta(minutes=minutes)
    if says is None:
        assert _verified(_incoming(), now=now) == "customer"
        return
    with pytest.raises(Rejection, match=says):
        _verified(_incoming(), now=now)


def test_signing_logs_neither_the_secret_nor_the_session_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="botocore")
    headers = _signed()
    assert headers["x-amz-security-token"] == _TOKEN
    assert _SECRET not in caplog.text
    assert _TOKEN not in caplog.text
