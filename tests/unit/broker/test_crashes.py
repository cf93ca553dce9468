"""How often a worker vanished with a message in hand."""

from datetime import datetime
from typing import Any

import pytest

from tests.support import START
from workers.broker.crashes import CRASHES, crashed_once_more, crashes_of
from workers.engine.delivery import Delivery


@pytest.mark.parametrize("value", [None, -1, 1_001, "2", 2.0, True, [1]])
def test_what_makes_no_sense_is_no_crash(value: Any) -> None:
    assert crashes_of({CRASHES: value}) == 0
    assert crashed_once_more({CRASHES: value, "id": "j"}) == {CRASHES: 1, "id": "j"}


def test_crashes_add_up() -> None:
    headers: dict[str, Any] = {}
    for _ in range(3):
        headers = crashed_once_more(headers)

    assert crashes_of(headers) == 3
    assert crashes_of(crashed_once_more({CRASHES: 1_000})) == 1_000


def test_a_delivery_knows_of_crashes_whether_it_came_from_a_lane_or_not() -> None:
    now: datetime = START
    lane = {"since": now.timestamp() - 5, "impatient": False, "reservation": "r"}

    assert Delivery.of({"crashes": 2}, now=now) == Delivery(crashes=2)
    assert Delivery.of({**lane, "crashes": 2}, now=now) == Delivery(waited=5, reservation="r", crashes=2)
    assert Delivery.of(lane, now=now).crashes == 0
