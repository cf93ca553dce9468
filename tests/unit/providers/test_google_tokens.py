import asyncio
import json
from dataclasses import replace

import pytest

from tests.google import EMAIL, TokenEndpoint, granted, key_file, refused, verified_claims, vertex_call
from tests.support import START, ManualClock
from workers.engine.outcome import Action, decide
from workers.providers.base import Call, Fault, FaultKind, HoldsTokens, WireRequest, WireResponse
from workers.providers.google_account import TOKEN_URL
from workers.providers.google_tokens import GoogleTokens, Grant
from workers.providers.vertex import VertexProvider

_CALL = vertex_call()
_OUTAGE = Fault(kind=FaultKind.CONNECT, message="Nothing was sent to Google's token endpoint: no connection.")


def tokens_of(endpoint: TokenEndpoint, clock: ManualClock, *, jitter: float = 0.0) -> GoogleTokens:
    return GoogleTokens(fetch=endpoint, clock=clock, jitter=lambda: jitter)


async def token(tokens: GoogleTokens, call: Call = _CALL) -> str:
    grant = await tokens.grant(call)
    assert isinstance(grant, Grant)
    return grant.token


async def settled() -> None:
    """Let a renewal in the background come to its end."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    # What is called back when a task is done comes a step later.
    await asyncio.sleep(0)


async def test_the_request_for_a_token() -> None:
    endpoint = TokenEndpoint()
    grant = await tokens_of(endpoint, ManualClock()).grant(_CALL)

    assert grant == Grant(token="ya29.token-1", project="acme-prod")
    (request,), (form,) = endpoint.requests, endpoint.forms
    assert (request.method, request.url) == ("POST", "https://oauth2.googleapis.com/token")
    assert request.headers == {"content-type": "application/x-www-form-urlencoded"}
    assert form.keys() == {"grant_type", "assertion"}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    _, claims = verified_claims(form["assertion"])
    assert (claims["iss"], claims["aud"], claims["iat"]) == (EMAIL, TOKEN_URL, int(START.timestamp()))


async def test_another_address_is_asked_only_when_the_code_says_so_and_the_audience_stays() -> None:
    endpoint = TokenEndpoint()
    await GoogleTokens(fetch=endpoint, clock=ManualClock(), url="http://127.0.0.1:1/oauth2/token").grant(_CALL)

    assert endpoint.requests[0].url == "http://127.0.0.1:1/oauth2/token"
    assert verified_claims(endpoint.forms[0]["assertion"])[1]["aud"] == TOKEN_URL


async def test_a_token_is_used_again_until_shortly_before_its_end() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)

    clock.seconds = 3_599 - 225 - 1
    assert await token(tokens) == "ya29.token-1"
    assert len(endpoint.requests) == 1


async def test_a_token_is_renewed_in_the_background_while_calls_go_on_with_the_old_one() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)

    clock.seconds = 3_599 - 225
    assert [await token(tokens) for _ in range(3)] == ["ya29.token-1"] * 3
    await settled()
    assert await token(tokens) == "ya29.token-2"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(("jitter", "early"), [(0.0, 225), (0.5, 195), (1.0, 165)])
async def test_workers_that_began_together_do_not_renew_together(jitter: float, early: float) -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock, jitter=jitter)
    await token(tokens)
    for seconds, requests in ((3_599 - early - 1, 1), (3_599 - early, 2)):
        clock.seconds = seconds
        await token(tokens)
        await settled()
        assert len(endpoint.requests) == requests


async def test_a_token_near_its_end_is_waited_for() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)

    clock.seconds = 3_599 - 30
    assert await token(tokens) == "ya29.token-2"


async def test_calls_that_come_together_share_one_request() -> None:
    endpoint = TokenEndpoint()
    tokens = tokens_of(endpoint, ManualClock())

    assert set(await asyncio.gather(*(token(tokens) for _ in range(50)))) == {"ya29.token-1"}
    assert len(endpoint.requests) == 1


async def test_a_call_that_is_cancelled_leaves_the_token_to_the_others() -> None:
    endpoint = TokenEndpoint()
    tokens = tokens_of(endpoint, ManualClock())
    endpoint.open.clear()
    first, second = (asyncio.create_task(token(tokens)) for _ in range(2))
    await endpoint.asked.wait()
    first.cancel()
    endpoint.open.set()

    assert await second == "ya29.token-1"
    assert first.cancelled()


async def test_a_rotated_credential_gets_a_token_of_its_own_at_once() -> None:
    endpoint = TokenEndpoint()
    tokens = tokens_of(endpoint, ManualClock())
    rotated = vertex_call(secret=key_file(key=1))
    assert _CALL.credential is not None
    saved_again = replace(_CALL, credential=replace(_CALL.credential, version=2))

    seen = [await token(tokens, call) for call in (_CALL, rotated, saved_again, _CALL, rotated)]
    assert seen == ["ya29.token-1", "ya29.token-2", "ya29.token-3", "ya29.token-1", "ya29.token-2"]
    verified_claims(endpoint.forms[1]["assertion"], key=1)


async def test_who_writes_anothers_name_into_a_file_does_not_get_the_others_token() -> None:
    endpoint = TokenEndpoint()
    tokens = tokens_of(endpoint, ManualClock())
    await token(tokens)
    theirs = json.loads(key_file())
    forged = vertex_call(secret=json.dumps(theirs | {"private_key": json.loads(key_file(key=1))["private_key"]}))

    assert await token(tokens, forged) == "ya29.token-2"


async def test_tokens_past_their_end_are_not_kept() -> None:
    clock = ManualClock()
    tokens = tokens_of(TokenEndpoint(), clock)
    await token(tokens)
    clock.seconds = 4_000
    await token(tokens, vertex_call(secret=key_file(key=1)))

    assert len(tokens._held) == 1
    assert tokens._renewals == {}


async def test_a_refused_token_is_dropped_and_the_next_call_gets_a_new_one() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)
    clock.seconds = 60

    assert tokens.forget(_CALL)
    assert await token(tokens) == "ya29.token-2"


async def test_calls_in_flight_with_the_refused_token_do_not_drop_its_successor() -> None:
    endpoint, clock = TokenEndpoint(), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)
    clock.seconds = 60
    for _ in range(10):
        assert tokens.forget(_CALL)
        await token(tokens)
        clock.seconds += 1

    assert len(endpoint.requests) == 2


async def test_the_engine_finds_the_way_to_forget_a_token() -> None:
    clock = ManualClock()
    provider = VertexProvider(clock=clock, tokens=tokens_of(TokenEndpoint(), clock))

    assert isinstance(provider, HoldsTokens)
    assert provider.forget(_CALL)


@pytest.mark.parametrize(
    ("response", "kind", "action", "code"),
    [
        (refused(400, "invalid_grant"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL, "invalid_grant"),
        (refused(401, "invalid_client"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL, "invalid_client"),
        (refused(500, "internal_failure"), FaultKind.UNAVAILABLE, Action.RETRY, "internal_failure"),
        (refused(400, "temporarily_unavailable"), FaultKind.UNAVAILABLE, Action.RETRY, "temporarily_unavailable"),
        (refused(503, "x"), FaultKind.UNAVAILABLE, Action.RETRY, "x"),
        (refused(429, "rate_limited"), FaultKind.UNAVAILABLE, Action.RETRY, "rate_limited"),
        (refused(400, {"code": 400}), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (WireResponse(status=200, headers={}, content=b"<html>"), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (granted("two words"), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (granted(""), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (granted("t", lifetime=None), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (granted("t", lifetime=-1), FaultKind.UNAVAILABLE, Action.RETRY, None),
        (granted("t", lifetime=10**12), FaultKind.UNAVAILABLE, Action.RETRY, None),
    ],
)
async def test_what_the_endpoint_says_no_with(
    response: WireResponse, kind: FaultKind, action: Action, code: str | None
) -> None:
    fault = await tokens_of(TokenEndpoint(response), ManualClock()).grant(_CALL)

    assert isinstance(fault, Fault)
    assert (fault.kind, decide(fault).action, fault.code) == (kind, action, code)
    assert fault.message.startswith("Google's token endpoint answered ")
    assert "Invalid JWT Signature" not in fault.message


async def test_the_endpoints_wait_is_kept() -> None:
    fault = await tokens_of(TokenEndpoint(refused(503, "x", retry_after="7")), ManualClock()).grant(_CALL)

    assert isinstance(fault, Fault)
    assert fault.retry_after == 7


async def test_a_failure_is_not_remembered() -> None:
    endpoint = TokenEndpoint(_OUTAGE)
    tokens = tokens_of(endpoint, ManualClock())

    assert await tokens.grant(_CALL) == _OUTAGE
    assert await token(tokens) == "ya29.token-2"


async def test_an_outage_at_the_time_of_renewal_costs_no_call() -> None:
    endpoint, clock = TokenEndpoint(granted("first"), _OUTAGE, _OUTAGE), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)
    seen = []
    for seconds in (3_400, 3_401, 3_420, 3_500):
        clock.seconds = seconds
        seen.append(await token(tokens))
        await settled()

    assert seen == ["first"] * 4
    # Not at 3,401: the endpoint is left alone for a while after each failure.
    assert len(endpoint.requests) == 4
    assert await token(tokens) == "ya29.token-4"


async def test_a_token_that_lives_shorter_than_planned_is_not_asked_for_without_end() -> None:
    endpoint, clock = TokenEndpoint(granted("short", lifetime=120)), ManualClock()
    tokens = tokens_of(endpoint, clock)
    await token(tokens)
    clock.seconds = 59

    assert await token(tokens) == "short"
    await settled()
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "secret",
    ["", "AIza-key", key_file(type="authorized_user"), key_file(private_key="CANARY")],
    ids=["none", "API key", "another type", "damaged"],
)
async def test_a_key_file_that_cannot_be_used_is_a_fault_and_nothing_is_sent(secret: str) -> None:
    endpoint = TokenEndpoint()
    clock = ManualClock()
    provider = VertexProvider(clock=clock, tokens=tokens_of(endpoint, clock))
    fault = await provider.prepare(vertex_call(secret=secret))

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert endpoint.requests == []
    assert "CANARY" not in repr(fault)


async def test_neither_token_nor_key_shows_anywhere_but_in_the_header() -> None:
    endpoint, clock = TokenEndpoint(granted("ya29.CANARY")), ManualClock()
    tokens = tokens_of(endpoint, clock)
    wire = await VertexProvider(clock=clock, tokens=tokens).prepare(_CALL)
    grant = await tokens.grant(_CALL)

    assert isinstance(wire, WireRequest)
    assert wire.headers["authorization"] == "Bearer ya29.CANARY"
    assertion = endpoint.forms[0]["assertion"]
    for shown in (
        repr(wire),
        repr(grant),
        repr(tokens._held),
        wire.url,
        wire.content.decode(),
        repr(endpoint.requests),
    ):
        assert "CANARY" not in shown
        assert assertion not in shown
        assert "PRIVATE KEY" not in shown
