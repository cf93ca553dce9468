"""docs/cli.md tells every name in the JSON of lists; `tests/integration/test_docs_commands.py` has the other JSON."""

import re
from dataclasses import fields
from typing import Any

import pytest

from tests.pages import text_of
from workers.admission import Reason
from workers.economy.controls import BatchView, WaitingView
from workers.lanes.views import LaneView

PAGE = " ".join(text_of("docs/cli.md").split())
NAMED = set(re.findall(r"`(\w+)`|\"(\w+)\"", PAGE))
NAMES = {name for pair in NAMED for name in pair}


@pytest.mark.parametrize("view", [LaneView, BatchView, WaitingView])
def test_the_page_tells_every_name_of_a_list(view: Any) -> None:
    assert {field.name for field in fields(view)} - NAMES == set()


def test_the_page_tells_everything_that_a_lane_waits_for() -> None:
    assert {reason.value for reason in Reason} - NAMES == set()
