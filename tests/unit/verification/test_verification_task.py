"""The verification task: what it looks at, what it answers, and what becomes of errors."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest
from celery import Task
from celery.exceptions import Reject
from kombu.utils.json import dumps
from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import project_path, save_connection, save_project
from config.credentials import add_credential, disable_credential, save_credential
from config.errors import ConfigError, CredentialMissing, NoConnection, StoreError, UnknownProject
from config.settings import Settings
from config.store import MemoryStore
from tasks.contract import FailureCode, JobRefused, VerificationRequest
from tests.support import START, ManualClock, effective
from workers.embedded.simulator import Account, KeyState, Latency, Options, Simulator
from workers.providers.registry import build_providers
from workers.providers.transport import build_transport
from workers.task.verification_body import carry_out_verification
from workers.verification import CheckName, Problem, Verification, unverifiable
from workers.verification.service import Verifier

SCOPE = project_path("acme")
GOOD, BAD = "sk-canary-good-51aa", "sk-canary-bad-77e0"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    options = Options(accounts=(Account(key=SecretStr(BAD), state=KeyState.REVOKED),), latency=Latency.fixed(0))
    async with Simulator(options) as running:
        yield running


@pytest.fixture
def store(simulator: Simulator) -> MemoryStore:
    store = MemoryStore()
    save_project(store, "acme")
    openai = {"provider": "openai", "model": "gpt-6-luna", "base_url": simulator.base_urls["openai"]}
    server = {"provider": "openai_compatible", "model": "m", "base_url": simulator.base_urls["compatible"]}
    save_connection(store, SCOPE, {"name": "primary", "credential": "main", **openai})
    save_connection(store, SCOPE, {"name": "backup", "role": "fallback", **server})
    save_credential(store, SCOPE, "main", SecretStr(GOOD))
    add_credential(store, SCOPE, "main", SecretStr(BAD), by="ada", now=START)
    return store


@pytest.fixture
async def verifier(store: MemoryStore) -> AsyncIterator[Verifier]:
    transport = build_transport(Settings())
    yield Verifier(
        store,
        providers=build_providers(fetch=transport.fetch),
        transport=transport,
        catalogue=load_catalogue(),
        clock=ManualClock(),
        timeout=10,
    )
    await transport.aclose()


async def test_all_connections_are_tried_in_the_order_of_the_chain(verifier: Verifier) -> None:
    reports = await verifier.verify("acme")

    assert [(one.connection, one.ok, one.credential_version) for one in reports] == [
        ("primary", True, 1),
        ("backup", True, None),
    ]


async def test_one_connection_is_tried_with_a_version_that_is_pending(verifier: Verifier) -> None:
    [report] = await verifier.verify("acme", connection="primary", version=2)

    assert report.failure is not None
    assert (report.failure.problem, report.credential_version) == (Problem.BAD_KEY, 2)
    assert BAD not in json.dumps(report.as_json())


async def test_a_change_of_a_moment_ago_is_seen(verifier: Verifier, store: MemoryStore) -> None:
    disable_credential(store, SCOPE, "main", 1, by="ada", now=START)

    primary, backup = await verifier.verify("acme")

    assert primary.failure is not None
    assert "has no active version (it has: 1 (disabled), 2 (pending))" in primary.failure.message
    assert backup.ok


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"project": "nobody"}, UnknownProject, "project 'nobody' is not configured"),
        ({"project": "acme", "connection": "x"}, NoConnection, "has no connection 'x'; it has: primary, backup"),
    ],
)
async def test_what_is_not_there_is_said(
    verifier: Verifier, arguments: Any, error: type[ConfigError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await verifier.verify(**arguments)


# The body of the task


class FakeTask:
    name = "byom.verify.v1"


def run(step: Callable[[VerificationRequest], Sequence[Verification]], payload: Any = None) -> Any:
    paused: list[bool] = []
    task = cast("Task[Any, Any]", FakeTask())
    try:
        return carry_out_verification(task, payload or {"project": "acme"}, step, pause=lambda: paused.append(True))
    finally:
        run.paused = bool(paused)  # type: ignore[attr-defined]


def fails_with(error: Exception) -> Callable[[VerificationRequest], Sequence[Verification]]:
    def step(_: VerificationRequest) -> Sequence[Verification]:
        raise error

    return step


def test_the_answer_is_json_for_the_caller_and_a_word_for_operators() -> None:
    broken = unverifiable(effective(), CheckName.CREDENTIAL, Problem.MISSING_KEY, "there is none")

    findings = run(lambda request: [broken] if request.project == "acme" else [])

    document = json.loads(dumps(findings))
    assert (document["version"], document["project"], document["ok"]) == (1, "acme", False)
    assert document["reports"][0]["problem"] == "missing_key"
    assert repr(findings) == "{'project': 'acme', 'ok': False, 'primary': 'missing_key'}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownProject("project 'acme' is not configured"), FailureCode.UNKNOWN_PROJECT),
        (NoConnection("project 'acme' has no connection 'x'"), FailureCode.NO_CONNECTION),
        (CredentialMissing("none"), FailureCode.CREDENTIAL_MISSING),
    ],
)
def test_what_is_not_configured_is_refused_typed(error: ConfigError, code: FailureCode) -> None:
    with pytest.raises(JobRefused, match=str(error)) as caught:
        run(fails_with(error))
    assert (caught.value.code, caught.value.details["project"]) == (code, "acme")


def test_a_store_that_is_away_puts_the_request_back_after_a_pause() -> None:
    with pytest.raises(Reject) as caught:
        run(fails_with(StoreError("throttled")))

    assert vars(caught.value)["requeue"] is True
    assert run.paused is True  # type: ignore[attr-defined]


def test_a_request_that_is_none_is_refused_and_nothing_is_called() -> None:
    with pytest.raises(JobRefused, match="The verification was refused"):
        run(fails_with(ZeroDivisionError()), {"project": 7})
