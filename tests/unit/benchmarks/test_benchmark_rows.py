import pytest

from benchmarks.families import DESIGN, SCALE
from benchmarks.families.in_flight import most_at_once
from benchmarks.rows import FRACTION, Figure, Measured, Reach, Row, at_least, at_most, below, exactly, written


@pytest.mark.parametrize(
    ("reach", "values", "reached"),
    [
        (at_most(1.5), [1.4, 1.5, 9.0], True),
        (at_most(1.5), [1.4, 1.6, 1.7], False),
        (at_least(97), [1.0, 97.0, 99.0], True),
        (at_least(97), [96.0, 96.9, 99.0], False),
        (below(0.1), [0.1], False),
        (below(0.1), [0.09], True),
        (exactly(0), [0.0, 0.0, 0.0], True),
        (exactly(0), [0.0, 0.0, 1.0], False),
        (at_most(2), [float("nan")], False),
        (at_most(2), [], False),
    ],
)
def test_the_median_is_judged_or_all_repeats_where_something_must_never_happen(
    reach: Reach, values: list[float], *, reached: bool
) -> None:
    assert reach.reached(values) is reached


def test_a_fraction_is_written_as_one() -> None:
    assert [written(FRACTION, value) for value in (0.125, 1 / 6)] == ["1/8.0", "1/6.0"]
    assert written("{:.1f} %", 97.25) == "97.2 %"
    assert written(FRACTION, 0) == "1/inf"


def test_a_rows_sizes_can_be_replaced_one_by_one() -> None:
    row = Row(
        name="some",
        how="",
        figures={"it": Figure(what="it")},
        measure=lambda _sizes: Measured(values={"it": 1}),
        full={"jobs": 1_000, "seed": 1},
        quick={"jobs": 10},
    )

    assert row.sizes() == {"jobs": 1_000, "seed": 1}
    assert row.sizes(quick=True) == {"jobs": 10, "seed": 1}
    assert row.sizes(quick=True, wanted={"seed": 7}) == {"jobs": 10, "seed": 7}
    with pytest.raises(ValueError, match="some has no size called kills; it has jobs, seed"):
        row.sizes(wanted={"kills": 1})


@pytest.mark.parametrize("row", [*DESIGN.values(), *SCALE.values()], ids=lambda row: row.name)
def test_each_row_can_be_told_with_its_own_sizes(row: Row) -> None:
    assert row.quick.keys() <= row.full.keys()
    for sizes in (row.sizes(), row.sizes(quick=True)):
        assert "{" not in row.how.format(**sizes)
        assert all("{" not in figure.what.format(**sizes) for figure in row.figures.values())
    assert all(written(figure.form, 1.5) for figure in row.figures.values())


def test_everything_that_is_to_be_reached_has_a_figure() -> None:
    goals = {
        (row.name, key): (figure.reach.comparison, figure.reach.bound)
        for row in DESIGN.values()
        for key, figure in row.figures.items()
        if figure.reach is not None
    }

    assert goals == {
        ("cpu-single", "ratio"): ("≤", 1 / 6),
        ("cpu-ten", "ratio"): ("≤", 1.5),
        ("in-flight", "in_flight"): ("≥", 1_000),
        ("in-flight", "memory"): ("≤", 250),
        ("in-flight-ten", "in_flight"): ("≥", 1_000),
        ("in-flight-ten", "memory"): ("≤", 250),
        ("quota", "used"): ("≥", 97),
        ("quota", "refused"): ("<", 0.1),
        ("quota", "excess"): ("=", 0),
        ("flood", "own"): ("≤", 2),
        ("flood", "same"): ("≤", 2),
        ("changes", "rotation"): ("≤", 1),
        ("changes", "limit"): ("≤", 1),
        ("failover", "first"): ("≤", 2),
        ("failover", "slow"): ("≤", 50),
        ("enqueue", "ratio"): ("≥", 5),
        ("ledger", "wrong"): ("=", 0),
        ("plan", "off"): ("≤", 5),
        ("tokens", "single"): ("≤", 1 / 4),
        ("tokens", "packed"): ("≤", 1 / 20),
    }
    assert not any(figure.reach for row in SCALE.values() for figure in row.figures.values())


@pytest.mark.parametrize(
    ("arrivals", "most"),
    [([], 0), ([5.0], 1), ([0.0, 0.1, 1.9], 3), ([0.0, 2.0, 4.0], 1), ([4.0, 0.0, 3.0, 2.5], 3), ([0.0, 1.0, 2.5], 2)],
)
def test_calls_under_way_at_once_are_known_by_when_they_came(arrivals: list[float], most: int) -> None:
    assert most_at_once(arrivals, 2) == most
