"""The state table, row by row, and what a history refuses to be."""

import re
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.credentials import TRANSITIONS, CredentialHistory, CredentialState, Operation, VersionFacts
from config.credentials.states import KEPT_DELETED, MOST_VERSIONS
from config.errors import InvalidCredential
from tests.support import START

PAGE = (Path(__file__).parents[3] / "docs" / "credentials.md").read_text(encoding="utf-8")

S, Op = CredentialState, Operation

#: State, operation → the state after it; None where it is refused. Written out, so that the table cannot check itself.
ROWS: dict[tuple[CredentialState, Operation], CredentialState | None] = {
    (S.PENDING, Op.ACTIVATE): S.ACTIVE,
    (S.PENDING, Op.DISABLE): S.DISABLED,
    (S.PENDING, Op.DELETE): S.DELETED,
    (S.PENDING, Op.DELETE_FORCED): S.DELETED,
    (S.ACTIVE, Op.ACTIVATE): S.ACTIVE,
    (S.ACTIVE, Op.DISABLE): S.DISABLED,
    (S.ACTIVE, Op.DELETE): None,
    (S.ACTIVE, Op.DELETE_FORCED): S.DELETED,
    (S.DISABLED, Op.ACTIVATE): S.ACTIVE,
    (S.DISABLED, Op.DISABLE): S.DISABLED,
    (S.DISABLED, Op.DELETE): S.DELETED,
    (S.DISABLED, Op.DELETE_FORCED): S.DELETED,
    (S.DELETED, Op.ACTIVATE): None,
    (S.DELETED, Op.DISABLE): None,
    (S.DELETED, Op.DELETE): S.DELETED,
    (S.DELETED, Op.DELETE_FORCED): S.DELETED,
}


def facts(state: CredentialState = S.PENDING, **changes: object) -> VersionFacts:
    made = {"state": state, "created_at": START, "created_by": "ada", "changed_at": START, "changed_by": "ada"}
    return VersionFacts.model_validate({**made, "fingerprint": "0123456789ab", **changes})


def history(*states: CredentialState) -> CredentialHistory:
    versions = {number: facts(state) for number, state in enumerate(states, start=1)}
    active = next((number for number, one in versions.items() if one.state is S.ACTIVE), None)
    return CredentialHistory(next=len(states) + 1, active=active, versions=versions)


@pytest.mark.parametrize(("state", "operation"), list(product(S, Op)), ids=lambda value: value.value)
def test_each_row_of_the_table(state: CredentialState, operation: Operation) -> None:
    expected = ROWS[state, operation]
    before = history(state)

    if expected is None:
        with pytest.raises(InvalidCredential):
            before.after(operation, 1, by="bob", now=START, reason=None)
        return
    after = before.after(operation, 1, by="bob", now=START + timedelta(days=1), reason="why")

    assert after.versions[1].state is expected
    assert after.active == (1 if expected is S.ACTIVE else None)
    changed = after.versions[1]
    told = (changed.changed_by, changed.changed_at, changed.reason)
    assert told == (("ada", START, None) if expected is state else ("bob", START + timedelta(days=1), "why"))


def test_the_table_has_these_rows_and_no_others() -> None:
    assert dict(TRANSITIONS) == {key: state for key, state in ROWS.items() if state is not None}


@pytest.mark.parametrize("state", S)
def test_the_documentation_shows_the_table(state: CredentialState) -> None:
    words = {S.PENDING: "pending", S.ACTIVE: "active", S.DISABLED: "disabled", S.DELETED: "deleted", None: "refused"}
    row = re.search(rf"^\| `{state.value}` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)

    assert row is not None
    for cell, operation in zip(row.groups(), (Op.ACTIVATE, Op.DISABLE, Op.DELETE), strict=True):
        after = ROWS[state, operation]
        expected = "stays" if after is state else words[after]
        assert re.match(rf"`?{expected}`?\b", cell), (state, operation)


def test_activating_disables_the_one_that_was_active_in_the_same_step() -> None:
    after = history(S.ACTIVE, S.PENDING).after(Op.ACTIVATE, 2, by="bob", now=START, reason=None)

    assert [one.state for one in after.versions.values()] == [S.DISABLED, S.ACTIVE]
    assert after.active == 2
    assert after.versions[1].reason == "version 2 was activated"


def test_a_history_with_two_active_versions_is_none() -> None:
    with pytest.raises(ValidationError, match="active must name the one version"):
        CredentialHistory(next=3, active=1, versions={1: facts(S.ACTIVE), 2: facts(S.ACTIVE)})


@pytest.mark.parametrize("number", [0, 2, 7])
def test_a_history_whose_next_number_was_given_already_is_none(number: int) -> None:
    with pytest.raises(ValidationError, match="next must be greater"):
        CredentialHistory(next=2, versions={number: facts()})


def test_rows_of_deleted_versions_are_kept_for_a_while_only() -> None:
    known = CredentialHistory()
    for day in range(10):
        known = known.with_new(facts())
        now = START + timedelta(days=day)
        known = known.after(Op.DELETE, known.next - 1, by="ada", now=now, reason=None)

    assert sorted(known.versions) == [8, 9, 10]
    assert len(known.versions) == KEPT_DELETED
    assert known.next == 11


def test_the_row_of_the_version_that_is_deleted_now_stays_however_old_it_is() -> None:
    deleted = {number: facts(S.DELETED, changed_at=START + timedelta(days=9)) for number in range(2, 5)}
    known = CredentialHistory(next=5, versions={1: facts(S.DISABLED), **deleted})

    assert 1 in known.after(Op.DELETE, 1, by="ada", now=START, reason=None).versions


def test_a_full_credential_still_fits_into_a_parameter_of_ssm() -> None:
    long = {"created_by": "x" * 999, "changed_by": "y" * 999, "reason": "z" * 999, "verified_at": START}
    versions = {n: facts(S.DISABLED if n <= MOST_VERSIONS else S.DELETED, **long) for n in range(1, 12)}
    known = CredentialHistory(next=12, versions=versions)

    assert len(known.model_dump_json(exclude_none=True)) < 8_192
    assert {len(one.reason or "") for one in known.versions.values()} == {200}


def test_more_versions_than_fit_are_refused() -> None:
    with pytest.raises(InvalidCredential, match="has 8 versions; delete those that are not needed"):
        history(*[S.DISABLED] * MOST_VERSIONS).with_new(facts())
