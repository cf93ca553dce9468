import pytest

from tasks.contract import FailureCode
from workers.engine.outcome import TABLE, Action, Scope, Waits, decide, may_pass
from workers.providers.base import Fault, FaultKind
from workers.reference.errors import render


def test_every_kind_of_fault_has_exactly_one_row() -> None:
    assert TABLE.keys() == set(FaultKind)


#: kind → action, tries, failure code, scope: what the engine's behaviour rests on, written down a second time.
_EXPECTED: dict[FaultKind, tuple[Action, int, FailureCode, Scope]] = {
    FaultKind.CONNECT: (Action.RETRY, 3, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.READ: (Action.RETRY, 3, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.TIMEOUT: (Action.RETRY, 2, FailureCode.PROVIDER_TIMEOUT, Scope.CONNECTION),
    FaultKind.UNAVAILABLE: (Action.RETRY, 3, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.OVERLOADED: (Action.FALL_BACK, 1, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.RATE_LIMITED: (Action.RETRY, 3, FailureCode.RATE_LIMITED, Scope.CONNECTION),
    FaultKind.TIER_UNAVAILABLE: (Action.RETRY_STANDARD, 2, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.QUOTA_EXHAUSTED: (Action.FALL_BACK, 1, FailureCode.QUOTA_EXHAUSTED, Scope.CONNECTION),
    FaultKind.CREDENTIAL_REJECTED: (
        Action.REFRESH_CREDENTIAL,
        2,
        FailureCode.CREDENTIAL_REJECTED,
        Scope.CONNECTION,
    ),
    FaultKind.CREDENTIAL_EXPIRED: (Action.REFRESH_CREDENTIAL, 2, FailureCode.CREDENTIAL_EXPIRED, Scope.CONNECTION),
    FaultKind.PERMISSION_DENIED: (Action.FALL_BACK, 1, FailureCode.PERMISSION_DENIED, Scope.CONNECTION),
    FaultKind.MODEL_NOT_FOUND: (Action.FALL_BACK, 1, FailureCode.MODEL_NOT_FOUND, Scope.CONNECTION),
    FaultKind.ENDPOINT_INVALID: (Action.FALL_BACK, 1, FailureCode.PROVIDER_UNAVAILABLE, Scope.CONNECTION),
    FaultKind.CONTEXT_TOO_LONG: (Action.FALL_BACK, 1, FailureCode.CONTEXT_TOO_LONG, Scope.EPISODE),
    FaultKind.BAD_REQUEST: (Action.FALL_BACK, 1, FailureCode.BAD_REQUEST, Scope.EPISODE),
    FaultKind.REFUSED: (Action.FALL_BACK, 1, FailureCode.CONTENT_REFUSED, Scope.EPISODE),
    FaultKind.TRUNCATED: (Action.RETRY_LARGER, 2, FailureCode.OUTPUT_TRUNCATED, Scope.EPISODE),
    FaultKind.EMPTY: (Action.RETRY_REMINDED, 2, FailureCode.OUTPUT_UNUSABLE, Scope.EPISODE),
    FaultKind.MALFORMED: (Action.RETRY_REMINDED, 2, FailureCode.OUTPUT_UNUSABLE, Scope.EPISODE),
}


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_leads_to_its_row(kind: FaultKind) -> None:
    row = decide(Fault(kind=kind, message="Something happened."))
    assert (row.action, row.tries, row.code, row.scope) == _EXPECTED[kind]


#: Kinds whose jobs wait in their lane; all others never do.
_WAITS: dict[FaultKind, Waits] = {
    FaultKind.CONNECT: Waits.WHEN_LAST,
    FaultKind.UNAVAILABLE: Waits.WHEN_LAST,
    FaultKind.OVERLOADED: Waits.WHEN_LAST,
    FaultKind.RATE_LIMITED: Waits.ALWAYS,
    FaultKind.QUOTA_EXHAUSTED: Waits.WHEN_LAST,
    FaultKind.CREDENTIAL_REJECTED: Waits.WHEN_LAST,
    FaultKind.CREDENTIAL_EXPIRED: Waits.WHEN_LAST,
}


@pytest.mark.parametrize("kind", FaultKind)
def test_only_what_may_pass_is_waited_for(kind: FaultKind) -> None:
    assert TABLE[kind].waits is _WAITS.get(kind, Waits.NEVER)


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (FailureCode.PROVIDER_UNAVAILABLE, True),
        (FailureCode.QUOTA_EXHAUSTED, True),
        (FailureCode.MODEL_NOT_FOUND, False),
        (FailureCode.PERMISSION_DENIED, False),
        (None, False),
    ],
)
def test_a_connection_is_waited_for_if_what_ails_it_may_pass(code: FailureCode | None, passes: bool) -> None:  # noqa: FBT001 - a table
    assert may_pass(code) is passes


@pytest.mark.parametrize("kind", FaultKind)
def test_every_row_says_why_and_what_to_do(kind: FaultKind) -> None:
    row = TABLE[kind]
    assert row.why.endswith(".")
    assert row.mend.endswith(".")


@pytest.mark.parametrize("kind", FaultKind)
def test_more_than_one_try_goes_with_an_action_that_tries_again(kind: FaultKind) -> None:
    row = TABLE[kind]
    assert (row.tries > 1) == (row.action is not Action.FALL_BACK)
    assert row.tries_when_last is None or row.tries_when_last > row.tries


def test_the_printed_table_holds_every_row() -> None:
    text = render()
    for kind, row in TABLE.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` | {row.action} | {row.tries} |")]
        assert row.why in line
        assert row.mend in line
