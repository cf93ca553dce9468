"""A plan has all that it is to have, and the same seed gives the same one."""

import signal
from dataclasses import replace

import pytest

from tests.chaos.plan import _RARE, FAILURES, POINTS, Plan, What, draw

VENDORS = ["openai", "gemini", "sts"]


def drawn(seed: int, **changes: int) -> Plan:
    return draw(seed, **{"steps": 200, "workers": 2, **changes}, vendors=VENDORS)


def test_a_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)
    assert [drawn(5).sentence(1, start) for start in range(50)] == [drawn(5).sentence(1, start) for start in range(50)]


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_for_one_round_of_the_long_form_has_everything(seed: int) -> None:
    plan = drawn(seed, steps=37)
    failing = [step for step in plan.steps if step.what is What.PROVIDER]

    assert len(plan.steps) == 37
    assert {step.what for step in plan.steps} == set(What)
    assert {step.failure for step in failing} == set(FAILURES)
    assert {step.vendor for step in failing} == set(VENDORS)
    assert [step.at for step in plan.steps] == sorted(step.at for step in plan.steps)
    assert {step.worker for step in plan.steps} == {0, 1}
    for what in (What.CRASH, What.FREEZE):
        # The broker is away for half a minute: once it refuses connections, once it keeps them and says nothing.
        assert max(step.seconds for step in plan.steps if step.what is what) >= 30


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_a_short_plan_has_as_many_steps_as_were_asked_for(steps: int) -> None:
    assert len(drawn(5, steps=steps).steps) == steps


def test_workers_kill_stop_and_terminate_themselves_at_each_point_of_an_attempt() -> None:
    plan = drawn(5)
    sentences = [plan.sentence(worker, start) for worker in (0, 1) for start in range(500)]
    passed = [one for one in sentences if one is not None]

    assert {(one.point, one.how) for one in passed} == {
        (point, how) for point in POINTS for how in (What.KILL, What.TERM, What.STOP)
    }
    assert all(one.passage <= 20 for one in passed if one.point in _RARE)
    assert plan.sentence(0, 0) is None
    assert None in sentences[1:]


def test_a_sentence_says_where_when_and_what() -> None:
    (one, *_) = (one for start in range(100) if (one := drawn(5).sentence(0, start)) is not None)
    stop = replace(one, point="signed", passage=3, how=What.STOP)

    assert str(stop) == f"signed:3:{signal.SIGSTOP.value}"
    assert (stop.told, stop.leaves) == ("stop at signed", None)
    assert replace(stop, how=What.KILL).leaves == -9
    assert replace(stop, how=What.TERM).leaves == 0


@pytest.mark.parametrize("failure", FAILURES)
def test_every_way_of_failing_is_one_that_the_simulator_knows(failure: str) -> None:
    (step, *_) = (one for one in drawn(5).steps if one.what is What.PROVIDER)

    assert replace(step, failure=failure).rule.prefix in {f"/{vendor}/" for vendor in VENDORS}
