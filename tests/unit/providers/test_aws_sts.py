"""Real boto3 over HTTP against moto's STS: what is asked, what comes back, and what is logged on the way."""

import logging
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends

from tasks.contract import ProviderKind
from tests.providers import make_call
from workers.clock import SystemClock
from workers.providers.aws_auth import AwsAuth
from workers.providers.aws_signing import AwsKeys
from workers.providers.base import Fault, FaultKind

ROLE = "arn:aws:iam::123456789012:role/byom-extract"
_OWN = {
    "AWS_ACCESS_KEY_ID": "AKIAWORKER00EXAMPLE0",
    "AWS_SECRET_ACCESS_KEY": "the-workers-own-secret",
    # Nothing of the machine may leak in.
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def sts_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def worker(sts_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A process with AWS credentials of its own; the URL of its STS."""
    for name, value in _OWN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts_url)
    return sts_url


_CALL = make_call(
    provider=ProviderKind.BEDROCK,
    model="global.anthropic.claude-haiku-5-5",
    secret=ROLE,
    tags={"project": "acme"},
    external_id="byom-8f3a",
    region="eu-central-1",
)


@pytest.mark.usefixtures("worker")
async def test_a_role_is_assumed_with_its_external_id_and_nothing_secret_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = await AwsAuth(clock=SystemClock()).keys(_CALL)

    assert isinstance(keys, AwsKeys)
    granted = next(
        role for role in sts_backends["123456789012"]["aws"].assumed_roles if role.access_key_id == keys.access_key_id
    )
    assert (granted.role_arn, granted.session_name, granted.external_id) == (ROLE, "byom-acme", "byom-8f3a")
    assert keys.secret_access_key.get_secret_value() == granted.secret_access_key
    assert keys.session_token is not None
    assert keys.session_token.get_secret_value() == granted.session_token
    for secret in (granted.secret_access_key, granted.session_token, _OWN["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in caplog.text


@pytest.mark.usefixtures("worker")
async def test_one_client_serves_all_calls_of_a_region() -> None:
    auth = AwsAuth(clock=SystemClock())
    first = await auth.keys(_CALL)
    assert await auth.keys(_CALL) is first


async def test_a_worker_without_credentials_of_its_own_says_so(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    fault = await AwsAuth(clock=SystemClock()).keys(_CALL)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.UNAVAILABLE
    assert "no AWS credentials of its own" in fault.message


@pytest.mark.usefixtures("worker")
async def test_an_sts_that_does_not_listen_is_a_connection_fault(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{unused_tcp_port}")
    fault = await AwsAuth(clock=SystemClock()).keys(_CALL)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CONNECT
