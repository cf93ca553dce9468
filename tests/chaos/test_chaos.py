"""Chaos in short: one fixed plan with something of everything. `make chaos` has the long form."""

from pathlib import Path

import pytest

from tasks.contract import ProviderKind
from tests.chaos.plan import Plan, Step, What
from tests.chaos.rounds import play

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PLAN = Plan(
    seed=8,
    steps=(
        Step(what=What.CLOCK, at=0, seconds=0, worker=0, ahead=-600),
        Step(what=What.CLOCK, at=0, seconds=0, worker=1, ahead=900),
        # No token and no session is to be had at first.
        Step(what=What.PROVIDER, at=0, seconds=2, failure="503", vendor="oauth2"),
        Step(what=What.PROVIDER, at=0, seconds=2, failure="malformed", vendor="sts"),
        Step(what=What.PROVIDER, at=0.02, seconds=2, failure="reset, billed", vendor="openai", share=0.5),
        Step(what=What.PROVIDER, at=0.05, seconds=2, failure="429 storm", vendor="anthropic", share=0.5),
        Step(what=What.PROVIDER, at=0.10, seconds=2, failure="malformed", vendor="compatible", share=0.5),
        Step(what=What.PROVIDER, at=0.10, seconds=2, failure="torn", vendor="vertex", share=0.5),
        Step(what=What.PROVIDER, at=0.10, seconds=2, failure="hang, billed", vendor="bedrock", share=0.2),
        Step(what=What.PROVIDER, at=0.15, seconds=2, failure="hang, billed", vendor="azure", share=0.2),
        Step(what=What.KILL, at=0.2, seconds=0, worker=1),
        Step(what=What.CRASH, at=0.4, seconds=1),
        Step(what=What.TERM, at=0.6, seconds=0, worker=0),
    ),
)


def test_whatever_happens_each_job_ends_once_and_the_ledger_equals_the_vendors_books(tmp_path: Path) -> None:
    report = play(PLAN, jobs=200, watched=False, folder=tmp_path, BYOM_CALL_TIMEOUT="2")

    assert report.problems == (), f"the plan is fixed, so play it again; logs: {report.folder}"
    assert report.faults.keys() >= {"kill", "crash", "term", "provider"}
    assert report.struck > 0
    assert report.settled >= 200
    assert report.settled_by_provider.keys() == set(ProviderKind)
    # What was under way in the worker that was killed, at the least.
    assert report.lost > 0
