"""The token endpoint checks what Google checks, and its tokens cannot be made by others."""

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth import crypt, jwt
from pydantic import SecretStr

from workers.embedded.simulator import Account, FaultRule, Injection, KeyState, Latency, Options, Simulator
from workers.embedded.simulator.exchange import Reason, Rejection
from workers.embedded.simulator.wire.google_accounts import simulated_key_file
from workers.embedded.simulator.wire.google_oauth import LIFETIME, AccessTokens

EMAIL = "extractor@simulated-project.iam.gserviceaccount.com"
OTHER = "stranger@simulated-project.iam.gserviceaccount.com"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CALL = "/vertex/v1/projects/p/locations/global/publishers/google/models/gemini-3.5-flash-lite:generateContent"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    accounts = tuple(Account(key=SecretStr(email)) for email in (EMAIL, OTHER))
    async with Simulator(Options(accounts=accounts, permissive=False, latency=Latency.fixed(0))) as running:
        yield running


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.url) as client:
        yield client


def assertion(*, signer: str = EMAIL, key_id: str = EMAIL, **changes: Any) -> str:
    """A JWT as google-auth makes it, with some claims changed; None takes one out. Times are relative to now."""
    claims: dict[str, Any] = {
        "iss": EMAIL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 0,
        "exp": 3_600,
    } | changes
    now = int(time.time())
    claims |= {name: now + claims[name] for name in ("iat", "exp") if claims[name] is not None}
    made: Any = crypt.RSASigner
    encode: Any = jwt.encode
    file, named = json.loads(simulated_key_file(signer)), json.loads(simulated_key_file(key_id))
    key = made.from_string(file["private_key"], named["private_key_id"])
    token: bytes = encode(key, {name: value for name, value in claims.items() if value is not None})
    return token.decode()


async def ask(http: httpx.AsyncClient, given: str, *, grant: str = _GRANT) -> tuple[int, Mapping[str, Any]]:
    response = await http.post("/oauth2/token", data={"grant_type": grant, "assertion": given})
    body: Mapping[str, Any] = response.json()
    return response.status_code, body


async def call(http: httpx.AsyncClient, token: str | None) -> tuple[int, str | None]:
    """Status and `ErrorInfo.reason` of a call with a token."""
    headers = {} if token is None else {b"authorization": b"Bearer " + token.encode("latin-1")}
    body = {"contents": [{"role": "user", "parts": [{"text": "Ada."}]}]}
    response = await http.post(_CALL, json=body, headers=headers)
    details = response.json().get("error", {}).get("details", [{}])
    return response.status_code, details[0].get("reason")


def test_a_simulated_key_file_is_the_same_everywhere_and_another_for_each_address() -> None:
    first, second = (json.loads(simulated_key_file(email)) for email in (EMAIL, OTHER))
    again = json.loads(simulated_key_file(EMAIL))

    assert first == again
    assert first["private_key"] != second["private_key"]
    assert first["private_key_id"] != second["private_key_id"]
    key = load_pem_private_key(first["private_key"].encode(), password=None)
    assert getattr(key, "key_size", None) == 2_048


async def test_an_assertion_of_google_auth_gets_a_token_that_opens_vertex(http: httpx.AsyncClient) -> None:
    status, body = await ask(http, assertion())

    assert (status, body["expires_in"], body["token_type"]) == (200, LIFETIME, "Bearer")
    assert await call(http, body["access_token"]) == (200, None)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"signer": OTHER}, "invalid_grant", "Invalid JWT Signature."),
        ({"key_id": OTHER}, "invalid_grant", "account not found"),
        ({"iss": None}, "invalid_grant", "account not found"),
        ({"iss": "x"}, "invalid_grant", "account not found"),
        ({"aud": "https://evil.example/token"}, "invalid_grant", "Failed audience check"),
        ({"aud": None}, "invalid_grant", "Failed audience check"),
        ({"exp": 9_000}, "invalid_grant", "short-lived"),
        ({"iat": -9_000, "exp": -5_401}, "invalid_grant", "short-lived"),
        ({"iat": 900, "exp": 4_000}, "invalid_grant", "short-lived"),
        ({"iat": None}, "invalid_grant", "short-lived"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope", "Invalid OAuth scope"),
    ],
    ids=str,
)
async def test_an_assertion_that_google_would_refuse_is_refused(
    http: httpx.AsyncClient, given: dict[str, Any], error: str, says: str
) -> None:
    status, body = await ask(http, assertion(**given))

    assert (status, body["error"]) == (400, error)
    assert says in body["error_description"]


@pytest.mark.parametrize("given", ["", "x", "a.b.c", "....", "e30.e30.e30", "bnVsbA.bnVsbA.eA", "é.é.é"])
async def test_what_is_no_assertion_is_refused(http: httpx.AsyncClient, given: str) -> None:
    status, body = await ask(http, given)

    assert (status, body["error"]) in {(400, "invalid_grant"), (400, "invalid_request")}


@pytest.mark.parametrize("algorithm", ["none", "HS256", None])
async def test_an_assertion_of_another_algorithm_is_refused_however_it_is_signed(
    http: httpx.AsyncClient, algorithm: str | None
) -> None:
    file = json.loads(simulated_key_file(EMAIL))
    key: Any = load_pem_private_key(file["private_key"].encode(), password=None)
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": file["private_key_id"]}).encode())
    signed = f"{header.decode().rstrip('=')}.{assertion().split('.')[1]}"
    signature = base64.urlsafe_b64encode(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()

    for given in (f"{signed}.{signature.rstrip('=')}", f"{signed}."):
        assert (await ask(http, given))[1]["error"] == "invalid_grant"


async def test_another_kind_of_grant_is_refused(http: httpx.AsyncClient) -> None:
    assert (await ask(http, assertion(), grant="password"))[1]["error"] == "invalid_request"


@pytest.mark.parametrize("state", [KeyState.REVOKED, KeyState.EXPIRED])
async def test_an_account_that_was_disabled_gets_no_token_and_its_tokens_are_refused(
    simulator: Simulator, http: httpx.AsyncClient, state: KeyState
) -> None:
    token = (await ask(http, assertion()))[1]["access_token"]
    simulator.put_account(Account(key=SecretStr(EMAIL), state=state))

    assert (await ask(http, assertion()))[1]["error"] == "invalid_grant"
    assert (await call(http, token))[0] == 401


async def test_vertex_takes_no_other_token(http: httpx.AsyncClient) -> None:
    token = (await ask(http, assertion()))[1]["access_token"]
    prefix, said, seal = token.rsplit(".", 2)
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(said).replace(EMAIL.encode(), OTHER.encode())).decode()

    assert await call(http, None) == (401, "CREDENTIALS_MISSING")
    for other in (EMAIL, "ya29.x", f"{prefix}.{forged}.{seal}", f"{prefix}.{said}.{'0' * 64}", "é", "é.é.é"):
        assert await call(http, other) == (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED")


def test_a_token_ends_when_it_said_it_would() -> None:
    now = 1_000.0
    tokens = AccessTokens(now=lambda: now)
    token = tokens.give(EMAIL)

    now += LIFETIME - 1
    assert tokens.owner(token) == EMAIL
    now += 1
    with pytest.raises(Rejection) as refused:
        tokens.owner(token)
    assert refused.value.reason is Reason.EXPIRED_KEY


async def test_an_account_may_be_lent_tokens_for_less_and_they_may_be_taken_back(
    simulator: Simulator, http: httpx.AsyncClient
) -> None:
    simulator.put_account(Account(key=SecretStr(EMAIL), lends_for=60, revokes_after=1e-6))
    body = (await ask(http, assertion()))[1]

    assert body["expires_in"] == 60
    assert await call(http, body["access_token"]) == (401, "ACCESS_TOKEN_EXPIRED")


@pytest.mark.parametrize(
    ("kind", "left"), [(Injection.MALFORMED, 0.5), (Injection.EMPTY, 0.0), (Injection.TRUNCATED, 0.5)]
)
async def test_a_spoilt_answer_gives_no_token(
    simulator: Simulator, http: httpx.AsyncClient, kind: Injection, left: float
) -> None:
    form = {"grant_type": _GRANT, "assertion": assertion()}
    whole = len((await http.post("/oauth2/token", data=form)).content)
    simulator.add_fault(FaultRule(kind=kind, prefix="/oauth2/"))

    assert len((await http.post("/oauth2/token", data=form)).content) == int(whole * left)


def test_a_simulator_that_was_started_anew_does_not_know_the_tokens_of_the_one_before() -> None:
    with pytest.raises(Rejection) as refused:
        AccessTokens().owner(AccessTokens().give(EMAIL))
    assert refused.value.reason is Reason.WRONG_KEY
