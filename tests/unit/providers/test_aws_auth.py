"""Stored credentials → keys: static ones, and sessions of a role, kept and renewed on a clock that only tests move."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from tasks.contract import ProviderKind
from tests.providers import make_call
from tests.support import ManualClock
from workers.engine.outcome import Action, decide
from workers.providers.aws_auth import AwsAuth
from workers.providers.aws_signing import AwsKeys
from workers.providers.base import Call, Fault, FaultKind

ROLE = "arn:aws:iam::123456789012:role/byom-extract"
SECRET_CANARY = "canary/sEcReT+5d41402abc4b2a76b9719d911017"
TOKEN_CANARY = "canary-token-7d793037a0760186574b0282f2f435e7"
STATIC = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET_CANARY}


class FakeSts:
    """Grants numbered sessions of an hour, or raises what it is told to; counts and can be held up."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._region = ""

    def __call__(self, region: str) -> "FakeSts":
        self._region = region
        return self

    @property
    def assume_role(self) -> Callable[..., Mapping[str, Any]]:
        return self._assume_role

    def _assume_role(self, **arguments: Any) -> Mapping[str, Any]:
        self.asked.append((self._region, arguments))
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return {
            "Credentials": {
                "AccessKeyId": f"ASIASESSION{len(self.asked):09d}",
                "SecretAccessKey": SECRET_CANARY,
                "SessionToken": TOKEN_CANARY,
                "Expiration": self.clock.now() + timedelta(hours=1),
            }
        }


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sts(clock: ManualClock) -> FakeSts:
    return FakeSts(clock)


@pytest.fixture
def auth(clock: ManualClock, sts: FakeSts) -> AwsAuth:
    return AwsAuth(clock=clock, sts=sts)


def _call(secret: str = ROLE, *, project: str = "acme", **settings: Any) -> Call:
    return make_call(
        provider=ProviderKind.BEDROCK,
        model="global.anthropic.claude-haiku-5-5",
        secret=secret,
        tags={"project": project} if project else {},
        **settings,
    )


async def _keys(auth: AwsAuth, call: Call) -> AwsKeys:
    keys = await auth.keys(call)
    assert isinstance(keys, AwsKeys)
    return keys


async def _fault(auth: AwsAuth, call: Call) -> Fault:
    fault = await auth.keys(call)
    assert isinstance(fault, Fault)
    assert SECRET_CANARY not in repr(fault)
    return fault


async def _settle() -> None:
    """Lets background renewals come to their end; each goes through a thread."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await task


async def test_static_keys_are_used_as_stored_without_asking_anybody(auth: AwsAuth, sts: FakeSts) -> None:
    keys = await _keys(auth, _call(json.dumps(STATIC)))
    assert (keys.access_key_id, keys.secret_access_key.get_secret_value(), keys.session_token) == (
        "AKIAIOSFODNN7EXAMPLE",
        SECRET_CANARY,
        None,
    )
    temporary = await _keys(auth, _call(json.dumps(STATIC | {"session_token": TOKEN_CANARY})))
    assert temporary.session_token is not None
    assert temporary.session_token.get_secret_value() == TOKEN_CANARY
    assert sts.asked == []


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "AKIAIOSFODNN7EXAMPLE",
        f"AKIAIOSFODNN7EXAMPLE:{SECRET_CANARY}",
        "[]",
        "{",
        json.dumps({"access_key_id": "AKIAIOSFODNN7EXAMPLE"}),
        json.dumps(STATIC | {"secret_access_key": f"{SECRET_CANARY}\n"}),
        json.dumps(STATIC | {"secret_access_key": ""}),
        json.dumps(STATIC | {"session_token": f"{SECRET_CANARY}\r\nx-evil: 1"}),
        json.dumps(STATIC | {"access_key_id": "AKIA IOSFODNN7 EXAMPLE"}),
        json.dumps(STATIC | {"acess_key": SECRET_CANARY}),
        "arn:aws:iam::123456789012:user/somebody",
        "arn:aws:iam::1234:role/short",
        "arn:aws:sts::123456789012:assumed-role/x/y",
        f"{ROLE} {SECRET_CANARY}",
    ],
)
async def test_anything_else_is_refused_with_what_to_store_instead(auth: AwsAuth, sts: FakeSts, secret: str) -> None:
    fault = await _fault(auth, _call(secret))
    assert fault.kind is FaultKind.CREDENTIAL_REJECTED
    assert decide(fault).action is Action.REFRESH_CREDENTIAL
    assert "arn:aws:iam::123456789012:role/NAME" in fault.message
    assert sts.asked == []


async def test_a_call_without_a_credential_is_a_fault(auth: AwsAuth) -> None:
    call = make_call(provider=ProviderKind.OPENAI_COMPATIBLE, secret=None, base_url="http://127.0.0.1/v1")
    assert (await _fault(auth, call)).kind is FaultKind.CREDENTIAL_REJECTED


async def test_a_role_is_assumed_for_the_project_with_the_external_id_in_the_region(
    auth: AwsAuth, sts: FakeSts
) -> None:
    keys = await _keys(auth, _call(external_id="byom-8f3a", region="eu-central-1"))
    assert keys.access_key_id == "ASIASESSION000000001"
    assert keys.session_token is not None
    assert keys.session_token.get_secret_value() == TOKEN_CANARY
    assert sts.asked == [
        (
            "eu-central-1",
            {
                "RoleArn": ROLE,
                "RoleSessionName": "byom-acme",
                "DurationSeconds": 3_600,
                "ExternalId": "byom-8f3a",
            },
        )
    ]


async def test_without_region_and_external_id_the_defaults_hold(auth: AwsAuth, sts: FakeSts) -> None:
    await _keys(auth, _call(f" {ROLE}\n"))
    ((region, arguments),) = sts.asked
    assert region == "us-east-1"
    assert arguments == {"RoleArn": ROLE, "RoleSessionName": "byom-acme", "DurationSeconds": 3_600}


@pytest.mark.parametrize(
    ("project", "name"),
    [("ac me/ü", "byom-ac-me--"), ("p" * 80, "byom-" + "p" * 59), ("", "byom-")],
)
async def test_session_names_stay_within_what_aws_takes(auth: AwsAuth, sts: FakeSts, project: str, name: str) -> None:
    await _keys(auth, _call(project=project))
    assert sts.asked[0][1]["RoleSessionName"] == name


async def test_a_session_is_kept_and_shared_by_the_calls_of_one_project_only(auth: AwsAuth, sts: FakeSts) -> None:
    first = await _keys(auth, _call())
    assert await _keys(auth, _call()) is first
    others = [
        await _keys(auth, _call(project="other")),
        await _keys(auth, _call(region="eu-central-1")),
        await _keys(auth, _call(external_id="byom-8f3a")),
        await _keys(auth, _call(ROLE + "-2")),
    ]
    assert len({keys.access_key_id for keys in (first, *others)}) == 5
    assert len(sts.asked) == 5


async def test_calls_that_come_together_assume_the_role_once(auth: AwsAuth, sts: FakeSts) -> None:
    sts.gate.clear()
    waiting = [asyncio.create_task(_keys(auth, _call())) for _ in range(50)]
    await asyncio.sleep(0)
    sts.gate.set()
    assert len({keys.access_key_id for keys in await asyncio.gather(*waiting)}) == 1
    assert len(sts.asked) == 1


async def test_a_cancelled_call_does_not_take_the_session_from_the_others(auth: AwsAuth, sts: FakeSts) -> None:
    sts.gate.clear()
    cancelled, other = (asyncio.create_task(_keys(auth, _call())) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    sts.gate.set()
    assert (await other).access_key_id == "ASIASESSION000000001"
    assert cancelled.cancelled()


async def test_while_sts_hangs_threads_of_others_are_free(auth: AwsAuth, sts: FakeSts) -> None:
    sts.gate.clear()
    waiting = [asyncio.create_task(auth.keys(_call(f"{ROLE}-{number}"))) for number in range(64)]
    # First all calls begin, then all renewals.
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(auth._renewals) == len(waiting)

    assert await asyncio.wait_for(asyncio.to_thread(lambda: "read"), 5) == "read"
    sts.gate.set()
    assert all(isinstance(keys, AwsKeys) for keys in await asyncio.gather(*waiting))


@pytest.mark.parametrize(("minutes", "renewed"), [(0, False), (49.9, False), (50, True), (54.9, True)])
async def test_ten_minutes_before_its_end_a_session_is_renewed_behind_the_calls(
    auth: AwsAuth, sts: FakeSts, clock: ManualClock, *, minutes: float, renewed: bool
) -> None:
    first = await _keys(auth, _call())
    clock.seconds += minutes * 60
    assert await _keys(auth, _call()) is first
    await _settle()
    assert (await _keys(auth, _call()) is not first) == renewed
    assert len(sts.asked) == 1 + renewed


async def test_five_minutes_before_its_end_a_session_is_no_longer_used(
    auth: AwsAuth, sts: FakeSts, clock: ManualClock
) -> None:
    await _keys(auth, _call())
    clock.seconds += 55 * 60
    assert (await _keys(auth, _call())).access_key_id == "ASIASESSION000000002"
    sts.error = _client_error("ServiceUnavailable")
    clock.seconds += 55 * 60
    assert (await _fault(auth, _call())).kind is FaultKind.UNAVAILABLE


async def test_a_failed_renewal_harms_no_call_and_is_not_repeated_at_once(
    auth: AwsAuth, sts: FakeSts, clock: ManualClock
) -> None:
    first = await _keys(auth, _call())
    sts.error = _client_error("ServiceUnavailable")
    clock.seconds += 50 * 60
    for _ in range(3):
        assert await _keys(auth, _call()) is first
        await _settle()
    assert len(sts.asked) == 2
    sts.error = None
    clock.seconds += 30
    assert await _keys(auth, _call()) is first
    await _settle()
    assert (await _keys(auth, _call())).access_key_id == "ASIASESSION000000003"


async def test_a_fault_is_not_remembered(auth: AwsAuth, sts: FakeSts) -> None:
    sts.error = _client_error("AccessDenied")
    await _fault(auth, _call())
    sts.error = None
    await _keys(auth, _call())


async def test_a_refused_session_is_dropped_so_that_the_next_try_has_a_new_one(
    auth: AwsAuth, clock: ManualClock
) -> None:
    first = await _keys(auth, _call())
    clock.seconds += 31
    assert auth.forget(_call())
    assert await _keys(auth, _call()) is not first


async def test_calls_refused_with_the_session_before_do_not_drop_the_new_one(
    auth: AwsAuth, sts: FakeSts, clock: ManualClock
) -> None:
    await _keys(auth, _call())
    clock.seconds += 31
    late = _call()
    assert auth.forget(_call())
    renewed = await _keys(auth, _call())
    clock.seconds += 5
    assert auth.forget(late)
    assert await _keys(auth, late) is renewed
    assert len(sts.asked) == 2


async def test_static_keys_that_were_refused_are_not_worth_another_try(auth: AwsAuth) -> None:
    assert not auth.forget(_call(json.dumps(STATIC)))
    assert not auth.forget(_call("nonsense"))


async def test_sessions_of_projects_that_went_quiet_are_given_up(auth: AwsAuth, clock: ManualClock) -> None:
    for project in ("one", "two", "three"):
        await _keys(auth, _call(project=project))
    clock.seconds += 3_600
    await _keys(auth, _call(project="four"))
    assert len(auth._sessions) == 1


def _client_error(code: str) -> ClientError:
    message = f"User: arn:aws:sts::999999999999:assumed-role/worker/i-1 may not use {SECRET_CANARY}"
    return ClientError({"Error": {"Code": code, "Message": message}}, "AssumeRole")


_URL = "https://sts.us-east-1.amazonaws.com/"
_STS_ERRORS: list[tuple[Exception, FaultKind, Action, str]] = [
    (_client_error("AccessDenied"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL, "trust policy"),
    (_client_error("ValidationError"), FaultKind.CREDENTIAL_REJECTED, Action.REFRESH_CREDENTIAL, "ARN"),
    (_client_error("RegionDisabledException"), FaultKind.ENDPOINT_INVALID, Action.FALL_BACK, "region"),
    # The worker's own trouble must not be laid at the door of the customer's credential.
    (_client_error("ExpiredToken"), FaultKind.UNAVAILABLE, Action.RETRY, "worker's own"),
    (_client_error("ExpiredTokenException"), FaultKind.UNAVAILABLE, Action.RETRY, "worker's own"),
    (_client_error("InvalidClientTokenId"), FaultKind.UNAVAILABLE, Action.RETRY, "worker's own"),
    (_client_error("UnrecognizedClientException"), FaultKind.UNAVAILABLE, Action.RETRY, "worker's own"),
    (_client_error("SignatureDoesNotMatch"), FaultKind.UNAVAILABLE, Action.RETRY, "worker's own"),
    (NoCredentialsError(), FaultKind.UNAVAILABLE, Action.RETRY, "no AWS credentials of its own"),
    (CredentialRetrievalError(provider="p", error_msg=SECRET_CANARY), FaultKind.UNAVAILABLE, Action.RETRY, "STS"),
    (_client_error("Throttling"), FaultKind.UNAVAILABLE, Action.RETRY, "STS failed"),
    (_client_error("InternalFailure"), FaultKind.UNAVAILABLE, Action.RETRY, "STS failed"),
    (EndpointConnectionError(endpoint_url=_URL), FaultKind.CONNECT, Action.RETRY, "reached"),
    (ConnectTimeoutError(endpoint_url=_URL), FaultKind.CONNECT, Action.RETRY, "reached"),
    (ReadTimeoutError(endpoint_url=_URL), FaultKind.CONNECT, Action.RETRY, "reached"),
]


@pytest.mark.parametrize(("error", "kind", "action", "says"), _STS_ERRORS)
async def test_what_sts_says_leads_to_its_action(
    auth: AwsAuth, sts: FakeSts, error: Exception, kind: FaultKind, action: Action, says: str
) -> None:
    sts.error = error
    fault = await _fault(auth, _call())
    assert fault.kind is kind
    assert decide(fault).action is action
    assert says in fault.message
    assert "999999999999" not in repr(fault)


async def test_keys_show_in_no_repr(auth: AwsAuth) -> None:
    keys = await _keys(auth, _call())
    static = await _keys(auth, _call(json.dumps(STATIC | {"session_token": TOKEN_CANARY})))
    for shown in (repr(keys), str(static), repr(auth._sessions), static.model_dump_json()):
        assert SECRET_CANARY not in shown
        assert TOKEN_CANARY not in shown
