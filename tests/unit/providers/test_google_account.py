import json
import traceback
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.google import EMAIL, key_file, pem, verified_claims
from tests.support import START
from workers.providers.google_account import TOKEN_URL, BadServiceAccount, read_service_account, sign_assertion

#: Of what may name a test.
_NAME_LENGTH = 100


def test_an_assertion_says_who_asks_whom_for_what_and_is_signed_with_the_key() -> None:
    assertion = sign_assertion(read_service_account(key_file()), audience=TOKEN_URL, now=START)

    header, claims = verified_claims(assertion)
    issued = int(START.timestamp())
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "0" * 40}
    assert claims == {
        "iss": EMAIL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": issued,
        "exp": issued + 3_600,
    }
    with pytest.raises(InvalidSignature):
        verified_claims(assertion, key=1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JSON key file"),
        ("AIza-an-api-key", "not a JSON key file"),
        ("[]", "not a JSON key file"),
        ("\ud800", "not a JSON key file"),
        ("{}", "not the key of a service account"),
        (key_file(type="external_account"), "not the key of a service account"),
        (key_file(type="authorized_user"), "not the key of a service account"),
        (key_file(type=None), "not the key of a service account"),
        (key_file(token_uri="https://evil.example/token"), "token_uri is not https://oauth2.googleapis.com/token"),
        (key_file(token_uri="https://oauth2.googleapis.com/token?x=1"), "token_uri is not"),
        (key_file(token_uri="http://oauth2.googleapis.com/token"), "token_uri is not"),
        (key_file(token_uri=None), "token_uri is not"),
        (key_file(universe_domain="evil.example"), "another cloud"),
        (key_file(client_email=None), "lacks a usable client_email"),
        (key_file(client_email="no address"), "lacks a usable client_email"),
        (key_file(private_key=None, private_key_id=None), "lacks a usable private_key and private_key_id"),
        (key_file(project_id=""), "lacks a usable project_id"),
    ],
    # Keys are new in every run: they must not name tests.
    ids=lambda value: value if len(value) < _NAME_LENGTH and "\ud800" not in value else "file",
)
def test_a_file_that_may_not_be_used_is_refused_with_what_to_paste_instead(text: str, why: str) -> None:
    with pytest.raises(BadServiceAccount, match=why):
        read_service_account(text)


@pytest.mark.parametrize(
    "private_key",
    [
        "",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "not a key but CANARY-private-text",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))[:-200],
    ],
    ids=["empty", "no key", "text", "elliptic", "cut off"],
)
def test_a_damaged_private_key_is_refused_without_a_trace_of_it(private_key: str) -> None:
    account = read_service_account(key_file(private_key=private_key))
    with pytest.raises(BadServiceAccount, match="private_key is damaged") as refused:
        sign_assertion(account, audience=TOKEN_URL, now=START)

    shown = "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None
    assert all(line not in shown for line in private_key.splitlines() if len(line) > 8)


@pytest.mark.parametrize("changes", [{}, {"type": "authorized_user"}, {"token_uri": "https://evil.example"}])
def test_nothing_of_the_file_is_shown(changes: dict[str, Any]) -> None:
    text = key_file(**changes)
    lines = [line for line in json.loads(text)["private_key"].splitlines() if "-" not in line]
    try:
        shown = repr(read_service_account(text))
    except BadServiceAccount as error:
        shown = "".join(traceback.format_exception(error))
    assert not [line for line in lines if line in shown]
