"""The table from failures to events: complete, and as the documentation says it."""

import pytest

from tasks.contract import FailureCode
from tasks.contract.events import EventKind, RequestCode
from tests.notify import record
from workers.alerts import AlertKind
from workers.engine.outcome import Scope, decide
from workers.notify.folding import TABLE, Folds, occurrence_of
from workers.providers.base import Fault, FaultKind


def folded(kind: FaultKind) -> Folds | None:
    return TABLE[decide(Fault(kind=kind, message="")).code]


def test_every_code_of_a_failure_has_a_row() -> None:
    assert TABLE.keys() == set(FailureCode)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.CREDENTIAL_REJECTED, RequestCode.CREDENTIALS_INVALID),
        (FaultKind.PERMISSION_DENIED, RequestCode.CREDENTIALS_INVALID),
        (FaultKind.CREDENTIAL_EXPIRED, RequestCode.CREDENTIALS_EXPIRED),
        (FaultKind.CONNECT, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.READ, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.TIMEOUT, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.UNAVAILABLE, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.OVERLOADED, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.ENDPOINT_INVALID, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.QUOTA_EXHAUSTED, RequestCode.PROVIDER_UNAVAILABLE),
        (FaultKind.MODEL_NOT_FOUND, RequestCode.MODEL_NOT_SUPPORTED),
    ],
)
def test_faults_of_a_provider_are_told_with_their_code(kind: FaultKind, code: RequestCode) -> None:
    assert folded(kind) == Folds(EventKind.REQUEST_FAILED, code)


def test_a_rate_limit_is_an_event_of_its_own() -> None:
    assert folded(FaultKind.RATE_LIMITED) == Folds(EventKind.RATE_LIMITED)


@pytest.mark.parametrize("kind", FaultKind)
def test_what_only_an_episode_met_is_not_told_of_its_provider(kind: FaultKind) -> None:
    of_the_episode = decide(Fault(kind=kind, message="")).scope is Scope.EPISODE

    assert (folded(kind) is None) is of_the_episode


def test_an_attempt_is_counted_by_its_status() -> None:
    occurrence = occurrence_of(record("provider_timeout"))

    assert occurrence is not None
    assert (occurrence.kind, occurrence.error_code) == (EventKind.REQUEST_FAILED, RequestCode.PROVIDER_UNAVAILABLE)
    assert (occurrence.project, occurrence.provider, occurrence.model) == ("acme", "openai", "gpt-6-luna")
    assert (occurrence.account, occurrence.cause) == ("acme-inc", "provider_timeout")


@pytest.mark.parametrize("status", ["ok", "output_unusable", "of a newer worker"])
def test_other_attempts_are_not_counted(status: str) -> None:
    assert occurrence_of(record(status)) is None


def test_every_alert_is_an_event() -> None:
    assert {kind.value for kind in AlertKind} <= {kind.value for kind in EventKind}
