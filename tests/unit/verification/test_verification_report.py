"""The report as a whole: what it sums up, and how it is written for programs."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tasks.contract import ProviderKind, TokenUsage
from tests.support import START
from workers.verification import Attempt, Check, CheckName, Problem, Status, Verification


def attempt(*, cost: str | None, tokens: int = 10) -> Attempt:
    return Attempt(
        started_at=START,
        latency=0.25,
        outcome="ok",
        usage=TokenUsage(input=tokens),
        cost_usd=None if cost is None else Decimal(cost),
    )


def report(*checks: Check, attempts: tuple[Attempt, ...] = ()) -> Verification:
    return Verification(
        project="acme",
        connection="primary",
        provider=ProviderKind.OPENAI,
        model="gpt-6-luna",
        credential_version=1,
        checks=checks,
        attempts=attempts,
    )


def check(status: Status, **more: Any) -> Check:
    return Check(name=CheckName.MODEL, status=status, message="found", **more)


@pytest.mark.parametrize(
    ("statuses", "ok", "warnings"),
    [
        ([Status.OK, Status.OK], True, 0),
        ([Status.OK, Status.WARNING, Status.SKIPPED], True, 1),
        ([Status.OK, Status.FAILED, Status.WARNING], False, 1),
    ],
)
def test_only_a_failed_check_means_that_it_does_not_work(statuses: list[Status], ok: bool, warnings: int) -> None:  # noqa: FBT001 - pytest passes parameters by name
    whole = report(*map(check, statuses))

    assert (whole.ok, len(whole.warnings)) == (ok, warnings)
    assert (whole.failure is None) is ok


@pytest.mark.parametrize(
    ("attempts", "cost"),
    [
        ((), Decimal(0)),
        ((attempt(cost="0.1"), attempt(cost="0.02")), Decimal("0.12")),
        ((attempt(cost="0.1"), attempt(cost=None)), None),
        # A call that used nothing has no price to know.
        ((attempt(cost="0.1"), attempt(cost=None, tokens=0)), Decimal("0.1")),
    ],
)
def test_a_cost_that_is_not_known_is_never_left_out_of_the_sum(
    attempts: tuple[Attempt, ...], cost: Decimal | None
) -> None:
    assert report(attempts=attempts).cost_usd == cost


def test_a_report_is_json() -> None:
    failed = check(Status.FAILED, problem=Problem.UNKNOWN_MODEL, mend="choose another")
    document = report(failed, attempts=(attempt(cost="0.0000083"), attempt(cost="0.0000001"))).as_json()

    assert json.loads(json.dumps(document)) == document
    assert (document["ok"], document["problem"]) == (False, "unknown_model")
    assert (document["cost_usd"], document["latency"], document["usage"]["input"]) == ("0.0000084", 0.5, 20)
    assert document["checks"][0]["mend"] == "choose another"
