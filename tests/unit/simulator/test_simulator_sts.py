"""Roles on the simulator: boto3 assumes them, its sessions sign, and whatever STS answers instead is a fault."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import ProviderKind
from tests.aws import ENVIRONMENT
from tests.providers import make_call
from workers.clock import SystemClock
from workers.embedded.simulator import (
    Account,
    FaultRule,
    Injection,
    KeyState,
    Latency,
    Options,
    Reason,
    SimulatorThread,
    fingerprint,
)
from workers.embedded.simulator.exchange import Rejection
from workers.embedded.simulator.wire.aws_signature import simulated_secret
from workers.embedded.simulator.wire.aws_sts import SESSION_PREFIX, Sessions
from workers.providers.base import Call, Fault, FaultKind, Reply
from workers.providers.bedrock import BedrockProvider
from workers.providers.transport import Transport, build_transport

ROLE = "arn:aws:iam::123456789012:role/team/byom-extract"
WORKER = "AKIAWORKER0000000001"


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorThread]:
    """Vendors that a worker with a simulated key of its own has before it; in a thread, since boto3 blocks."""
    with SimulatorThread(Options(latency=Latency.fixed(0))) as running:
        keys = {"AWS_ACCESS_KEY_ID": WORKER, "AWS_SECRET_ACCESS_KEY": simulated_secret(WORKER)}
        for name, value in {**ENVIRONMENT, **keys, "AWS_ENDPOINT_URL_STS": running.base_urls["aws_sts"]}.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = build_transport(Settings())
    yield transport
    await transport.aclose()


class _Shifted(SystemClock):
    """The right time, and some more."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def call(vendors: SimulatorThread, role: str = ROLE) -> Call:
    return make_call(
        provider=ProviderKind.BEDROCK,
        model="global.anthropic.claude-haiku-5-5",
        secret=role,
        tags={"project": "acme"},
        base_url=vendors.base_urls["bedrock"],
    )


def assume(**fields: Any) -> Any:
    # A session of its own: the shared one keeps the keys that it once found.
    return boto3.Session().client("sts").assume_role(**{"RoleArn": ROLE, "RoleSessionName": "byom-acme", **fields})


async def test_a_role_is_lent_and_its_calls_are_billed_to_it(vendors: SimulatorThread, transport: Transport) -> None:
    provider = BedrockProvider(clock=SystemClock())
    for role in (ROLE, f"{ROLE}-2"):
        assert isinstance((await transport.send(provider, call(vendors, role), timeout=10)).answer, Reply)

    served = [entry for entry in vendors.books().entries if entry.served]
    assert [entry.key for entry in served] == [fingerprint(ROLE), fingerprint(f"{ROLE}-2")]


async def test_the_books_have_the_id_that_the_answer_names(vendors: SimulatorThread, transport: Transport) -> None:
    answer = (await transport.send(BedrockProvider(clock=SystemClock()), call(vendors), timeout=10)).answer

    assert isinstance(answer, Reply)
    assert answer.request_id == vendors.books().entries[-1].request_id


async def test_a_role_is_asked_for_by_the_time_of_the_pool_whatever_this_machine_shows(
    vendors: SimulatorThread, transport: Transport
) -> None:
    wrong = _Shifted()
    wrong.ahead = timedelta(minutes=6)
    refused = (await transport.send(BedrockProvider(clock=wrong), call(vendors), timeout=10)).answer
    assert isinstance(refused, Fault)
    assert (refused.kind, refused.code) == (FaultKind.UNAVAILABLE, "SignatureDoesNotMatch")
    assert "clock" in refused.message


@pytest.mark.parametrize("kind", [Injection.TRUNCATED, Injection.EMPTY, Injection.HTML, Injection.TORN])
async def test_an_answer_of_sts_that_is_none_is_a_fault_and_its_keys_show_nowhere(
    vendors: SimulatorThread, transport: Transport, kind: Injection, caplog: pytest.LogCaptureFixture
) -> None:
    number = vendors.add_fault(FaultRule(kind=kind, prefix="/sts/"))
    provider = BedrockProvider(clock=SystemClock())

    fault = (await transport.send(provider, call(vendors), timeout=10)).answer
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.UNAVAILABLE
    assert "the answer of STS is incomplete" in fault.message
    assert SESSION_PREFIX not in repr(fault) + caplog.text
    vendors.clear_faults(number)
    assert isinstance((await transport.send(provider, call(vendors), timeout=10)).answer, Reply)


async def test_a_session_that_was_taken_back_is_replaced_by_the_next_try(
    vendors: SimulatorThread, transport: Transport
) -> None:
    vendors.put_account(Account(key=SecretStr(WORKER), revokes_after=1e-6))
    clock = _Shifted()
    provider = BedrockProvider(clock=clock)

    refused = (await transport.send(provider, call(vendors), timeout=10)).answer
    assert isinstance(refused, Fault)
    assert refused.kind is FaultKind.CREDENTIAL_EXPIRED
    vendors.put_account(Account(key=SecretStr(WORKER)))
    clock.ahead = timedelta(minutes=1)
    assert provider.forget(call(vendors))
    assert isinstance((await transport.send(provider, call(vendors), timeout=10)).answer, Reply)


def test_a_session_holds_as_long_as_was_asked_or_as_its_account_says(vendors: SimulatorThread) -> None:
    def seconds(**fields: Any) -> float:
        ends_at: datetime = assume(**fields)["Credentials"]["Expiration"]
        return (ends_at - datetime.now(UTC)).total_seconds()

    assert seconds() == pytest.approx(3_600, abs=30)
    assert seconds(DurationSeconds=900) == pytest.approx(900, abs=30)
    vendors.put_account(Account(key=SecretStr(WORKER), lends_for=620))
    assert seconds() == pytest.approx(620, abs=30)


@pytest.mark.usefixtures("vendors")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:user/somebody"}, "ValidationError"),
        ({"DurationSeconds": 50_000}, "ValidationError"),
    ],
    ids=str,
)
def test_what_sts_would_not_take_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        assume(**fields)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "SignatureDoesNotMatch"),
        ({"AWS_SESSION_TOKEN": "a token that nobody gave"}, "InvalidClientTokenId"),
    ],
    ids=str,
)
def test_who_does_not_sign_as_the_key_does_gets_no_role(
    vendors: SimulatorThread, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], code: str
) -> None:
    assert vendors.url
    for name, value in change.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ClientError) as refused:
        assume()
    assert refused.value.response["Error"]["Code"] == code


def test_a_worker_whose_key_was_revoked_gets_no_role(vendors: SimulatorThread) -> None:
    vendors.put_account(Account(key=SecretStr(WORKER), state=KeyState.REVOKED))

    with pytest.raises(ClientError) as refused:
        assume()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_a_session_ends_and_opens_nothing_but_its_own_keys() -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    sessions = Sessions(now=lambda: now)
    token = sessions.lend(ROLE, seconds=900)
    access_key_id, secret = sessions.keys(token)

    found = sessions.resolver(token)(access_key_id)
    assert found is not None
    assert (found.account, found.secret_access_key.get_secret_value()) == (ROLE, secret)
    assert sessions.resolver(token)("ASIA0000000000000000") is None
    with pytest.raises(Rejection) as unknown:
        Sessions().resolver(token)(access_key_id)
    assert unknown.value.reason is Reason.WRONG_KEY
    now += timedelta(seconds=900)
    with pytest.raises(Rejection) as expired:
        sessions.resolver(token)(access_key_id)
    assert expired.value.reason is Reason.EXPIRED_KEY
