"""Which jobs make a batch, and when things are tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.economy.planning import Room, Terms, is_due, next_look, next_try

TERMS = Terms(gather=60, look=30, patience=600, timeout=120)


@pytest.mark.parametrize(
    ("number", "waited", "due"),
    [(0, 1e9, False), (1, 59.9, False), (1, 60, True), (99, 0, False), (100, 0, True), (5_000, 0, True)],
)
def test_jobs_are_due_when_the_first_has_waited_or_a_batch_is_full(number: int, waited: float, due: bool) -> None:  # noqa: FBT001 - a table
    assert is_due(number, waited=waited, gather=60, most=100) is due


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=5), min_size=1, max_size=30))
def test_a_batch_holds_whole_jobs_from_the_first_on_within_its_bounds(jobs: list[list[int]]) -> None:
    room = Room(most_items=10, most_bytes=100)
    taken = []
    for job in jobs:
        if not room.take(job):
            break
        taken.append(job)

    # However large the first is, it goes; else nobody could ever send it.
    assert taken == jobs[: len(taken)]
    assert taken
    if len(taken) > 1:
        assert sum(map(len, taken)) <= 10
        assert sum(map(sum, taken)) <= 100
    if len(taken) < len(jobs):
        following = [*taken, jobs[len(taken)]]
        assert sum(map(len, following)) > 10 or sum(map(sum, following)) > 100


def test_looks_become_rarer_up_to_five_minutes() -> None:
    waits = [next_look(looks, TERMS) for looks in range(60)]

    assert waits[0] == 30
    assert waits == sorted(waits)
    assert waits[-1] == 300
    # Whoever wants to look more rarely than that is let.
    assert next_look(9, Terms(gather=1, look=900, patience=1, timeout=1)) == 900


def test_tries_become_rarer_and_no_earlier_than_the_vendor_asks() -> None:
    assert [next_try(tries, asked=None) for tries in (0, 1, 2, 60)] == [5, 10, 20, 300]
    assert next_try(0, asked=42) == 42
    assert next_try(60, asked=42) == 300
