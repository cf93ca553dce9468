"""When a driver pauses, what a pause leaves alone, and how a backfill is cancelled."""

from decimal import Decimal
from typing import Any

import pytest

from tests.backfill import attempt, success
from tests.unit.backfill.scene import DAY, Scene, entries, until_idle
from workers.backfill.ports import ProjectRefused
from workers.backfill.state import Phase


def test_a_pause_lets_what_is_in_flight_go_on_and_keeps_it() -> None:
    scene = Scene(entries(5), window=2)
    driver = scene.driver()
    until_idle(driver)
    scene.state.change(Phase.PAUSED, why="lunch", after=[Phase.RUNNING])
    scene.end(1)

    step = driver.step()

    assert (step.orders.phase, step.over) == (Phase.PAUSED, False)
    assert scene.written() == [1]
    assert len(scene.broker.sent) == 2

    scene.clock.seconds += 7 * DAY
    scene.end(2)
    scene.state.change(Phase.RUNNING, after=[Phase.PAUSED])
    following = scene.driver("you")
    until_idle(following)
    assert scene.written() == [1, 2]
    assert sorted(set(scene.broker.sent)) == sorted(scene.broker.sent) == sorted(scene.job(n) for n in range(1, 5))


def test_it_pauses_before_its_budget_is_exceeded_and_goes_on_with_a_higher_one() -> None:
    scene = Scene(entries(30), budget=Decimal("0.0105"), fields={"expected_cost": "0.001"})
    driver = scene.driver()
    until_idle(driver)
    assert driver.in_flight == 10

    scene.end(*range(1, 11))
    until_idle(driver)

    assert driver.step().orders.phase is Phase.PAUSED
    assert scene.state.load().sums["pico"] == 10 * 10**9
    assert "its budget of $0.0105" in scene.why()
    assert "byom backfill resume archive --budget" in scene.why()

    scene.state.change(Phase.RUNNING, after=[Phase.PAUSED], budget=Decimal("0.0125"))
    until_idle(driver)
    assert driver.in_flight == 2


def test_where_nothing_is_known_of_the_cost_a_few_show_it_first() -> None:
    scene = Scene(entries(60), budget=Decimal(5), batch=50)
    driver = scene.driver()

    until_idle(driver)

    assert driver.in_flight == 20


def test_an_estimate_that_is_far_too_low_does_not_overspend_the_budget() -> None:
    scene = Scene(entries(200), window=200, budget=Decimal("0.050"), fields={"expected_cost": "0.0001"}, batch=200)
    driver = scene.driver()
    rounds: list[int] = []

    while until_idle(driver).orders.phase is Phase.RUNNING:
        rounds.append(driver.in_flight)
        done = len(scene.sink.rows)
        scene.end(*range(done + 1, done + driver.in_flight + 1))

    assert rounds == [20, 20, 10]
    assert scene.state.load().sums["pico"] == 50 * 10**9


@pytest.mark.parametrize("fields", [{"economy": True}, {"pack_tokens": 1_000}], ids=str)
def test_where_a_round_takes_a_day_or_lines_share_prompts_the_estimate_does_for_all(fields: dict[str, Any]) -> None:
    scene = Scene(entries(60), budget=Decimal(5), batch=50, fields={"expected_cost": "0.001", **fields})
    driver = scene.driver()

    until_idle(driver)

    assert sum(len(flight.lines) for flight in scene.state.flights()) == 60


def test_a_budget_that_just_suffices_is_no_reason_to_pause() -> None:
    scene = Scene(entries(10), budget=Decimal("0.010"), fields={"expected_cost": "0.001"})
    driver = scene.driver()
    until_idle(driver)
    scene.end(*range(1, 11))

    assert until_idle(driver).over
    assert scene.state.load().orders.phase is Phase.COMPLETED


def test_a_budget_cannot_be_kept_where_prices_are_unknown() -> None:
    scene = Scene(entries(30), window=10, budget=Decimal(5), fields={"expected_cost": "0.001"})
    driver = scene.driver()
    until_idle(driver)
    for number in range(1, 11):
        scene.end(number, ending=success(scene.job(number), attempt(scene.job(number), cost_usd=None)))
    until_idle(driver)

    assert driver.step().orders.phase is Phase.PAUSED
    assert "the cost of 10 of its jobs is not known" in scene.why()
    assert "--no-budget" in scene.why()


def test_a_project_that_can_take_no_job_pauses_it() -> None:
    scene = Scene(entries(2))
    scene.broker.answers = dict.fromkeys(
        (scene.job(1), scene.job(2)), ProjectRefused("project 'acme' has no connection")
    )
    driver = scene.driver()
    driver.step()

    assert driver.step().orders.phase is Phase.PAUSED
    assert "project 'acme' has no connection" in scene.why()

    scene.broker.answers.clear()
    scene.state.change(Phase.RUNNING, after=[Phase.PAUSED])
    scene.clock.seconds += 20
    until_idle(scene.driver("you"))
    assert scene.broker.sent == [scene.job(1), scene.job(2)]


def test_cancelling_ends_what_is_in_flight_and_keeps_what_had_ended() -> None:
    scene = Scene(entries(9), window=4)
    driver = scene.driver()
    until_idle(driver)
    scene.end(1)
    scene.broker.ended[scene.job(2)] = success(scene.job(2))
    scene.state.change(Phase.CANCELLED, after=[Phase.RUNNING])

    assert until_idle(driver).over

    assert {row["line"]: row["status"] for row in scene.sink.rows} == {
        1: "succeeded",
        2: "succeeded",
        3: "failed",
        4: "failed",
    }
    snapshot = scene.state.load()
    assert snapshot.over
    assert (snapshot.orders.phase, snapshot.sums["cancelled"]) == (Phase.CANCELLED, 2)
    assert scene.told == []
