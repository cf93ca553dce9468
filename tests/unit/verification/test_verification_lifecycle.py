"""Until when a model can be called, by whom it is said, and when it becomes a warning."""

from datetime import date

import pytest

from config.catalogue import load_catalogue
from tasks.contract import ProviderKind
from tests.verification import connected
from workers.providers.base import Fault, FaultKind
from workers.verification.lifecycle import lifecycle
from workers.verification.live_models import LiveModel, LiveModels
from workers.verification.report import CheckName, Status

TODAY = date(2026, 11, 23)
KNOWN = load_catalogue().find(ProviderKind.OPENAI, "gpt-6-luna")
UNKNOWN = load_catalogue().find(ProviderKind.OPENAI, "gpt-6-luna-x", unverified=True)
FORBIDDEN = Fault(kind=FaultKind.PERMISSION_DENIED, message="No.", status=401)


def listed(**facts: object) -> LiveModels:
    return LiveModels(models=(LiveModel(id="gpt-6-luna", **facts),), certain=True)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("live", "catalogue_ends", "status", "says"),
    [
        (listed(), None, Status.OK, "no end of gpt-6-luna is announced"),
        (
            listed(ends=date(2027, 11, 23)),
            None,
            Status.OK,
            "its provider's list, gpt-6-luna is served until 2027-11-23",
        ),
        (listed(ends=date(2027, 2, 21)), None, Status.WARNING, "in 90 days"),
        (listed(ends=date(2027, 2, 22)), None, Status.OK, "until 2027-02-22"),
        (listed(ends=TODAY), None, Status.WARNING, "in 0 days"),
        (listed(ends=date(2026, 11, 22)), None, Status.WARNING, "was to be switched off"),
        # The provider knows better than the catalogue.
        (listed(ends=date(2028, 1, 1)), date(2026, 12, 1), Status.OK, "until 2028-01-01"),
        (listed(), date(2026, 12, 1), Status.WARNING, "in 8 days"),
        (listed(deprecated=True), None, Status.WARNING, "has deprecated"),
        (None, date(2027, 7, 21), Status.OK, "by the catalogue, gpt-6-luna is served until 2027-07-21"),
        (FORBIDDEN, date(2026, 12, 1), Status.WARNING, "by the catalogue"),
        (FORBIDDEN, None, Status.OK, "no end of gpt-6-luna is announced"),
        (LiveModels(models=(), certain=True), None, Status.OK, "no end"),
    ],
)
def test_the_end_of_a_model(
    live: LiveModels | Fault | None, catalogue_ends: date | None, status: Status, says: str
) -> None:
    facts = KNOWN.model_copy(update={"ends": catalogue_ends})
    check = lifecycle(connected(ProviderKind.OPENAI).connection, facts, live, today=TODAY)

    assert (check.name, check.status) == (CheckName.LIFECYCLE, status)
    assert says in check.message
    assert bool(check.mend) is (status is Status.WARNING)


def test_of_a_model_that_nobody_knows_nothing_is_said() -> None:
    check = lifecycle(connected(ProviderKind.OPENAI).connection, UNKNOWN, None, today=TODAY)

    assert check.status is Status.SKIPPED
