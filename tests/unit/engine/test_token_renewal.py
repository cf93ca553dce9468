"""A call that is refused for a token that was kept gets a second try with a new one, without a rotation."""

from typing import Any

import pytest
from pydantic import SecretStr

from config.connections import project_path, save_connection
from config.credentials import save_credential
from tasks.contract import FailureCode
from tests.google import key_file
from tests.unit.engine.conftest import Bench, fault
from workers.engine.engine import HandOff
from workers.jobs import Ending
from workers.providers.base import FaultKind
from workers.providers.vertex import VertexProvider


@pytest.fixture
def on_vertex(bench: Bench) -> Bench:
    """The primary is on Vertex."""
    scope = project_path("acme")
    save_credential(bench.store, scope, "google", SecretStr(key_file()))
    connection = {"name": "primary", "provider": "vertex", "model": "gemini-3.5-flash-lite", "credential": "google"}
    save_connection(bench.store, scope, connection)
    return bench


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Connections whose token was dropped."""
    dropped: list[str] = []

    def forget(_: object, call: Any) -> bool:
        dropped.append(call.connection.name)
        return True

    monkeypatch.setattr(VertexProvider, "forget", forget)
    return dropped


@pytest.mark.parametrize("kind", [FaultKind.CREDENTIAL_EXPIRED, FaultKind.CREDENTIAL_REJECTED])
async def test_a_refused_token_is_dropped_and_the_call_made_again(
    on_vertex: Bench, forgotten: list[str], kind: FaultKind
) -> None:
    on_vertex.model.then("primary", fault(kind))

    outcome = await on_vertex.run()

    assert isinstance(outcome, Ending)
    assert outcome.failure is None
    assert on_vertex.called == ["primary", "primary"]
    assert forgotten == ["primary"]


async def test_a_credential_that_is_refused_with_a_new_token_too_leads_to_the_fallback(
    on_vertex: Bench, forgotten: list[str]
) -> None:
    on_vertex.model.always["primary"] = fault(FaultKind.CREDENTIAL_REJECTED)

    outcome = await on_vertex.run()

    assert isinstance(outcome, HandOff)
    assert outcome.route.history[-1].code is FailureCode.CREDENTIAL_REJECTED
    assert on_vertex.called == ["primary", "primary"]
    assert forgotten


async def test_other_faults_drop_no_token(on_vertex: Bench, forgotten: list[str]) -> None:
    on_vertex.model.then("primary", fault(FaultKind.UNAVAILABLE))

    await on_vertex.run()

    assert forgotten == []
