from dataclasses import replace

import pytest

from benchmarks.families import SCALE
from benchmarks.growth_tables import PIVOTS
from benchmarks.results import Machine, Results, RowResult
from benchmarks.sizing import Costs, costs_of, latest, markdown, needs

COSTS = Costs(episodes=1, worker=0.005, redis=0.001, waiting=2_000, hour=4_000, day=3_000, bounded=80e6, memory=200e6)
MACHINE = Machine(cores=2, processor="Some CPU", memory_gb=8, system="Linux", python="3.11.7", broker="Valkey 9.1.2")


def measured(*names: str) -> Results:
    """Every figure of these rows is 1,000."""
    rows = [RowResult.begun(SCALE[name], SCALE[name].sizes(), repeats=1, command="") for name in names]
    for row in rows:
        for line in row.lines:
            line.values = [1_000.0]
    return Results.begun(rows, machine=MACHINE, commit=None, quick=False)


def test_workers_are_as_many_as_their_cores_and_a_margin_ask_for() -> None:
    small, large = needs(COSTS, 10), needs(COSTS, 1_000)

    assert (small.workers, small.concurrency, small.in_flight) == (2, 20, 20)
    # Five cores, used to seven tenths; 2,000 calls in flight on eight workers.
    assert (large.cores, large.workers, large.in_flight, large.concurrency) == (5.0, 8, 2_000, 380)
    assert large.memory == 8 * 200e6


def test_ten_episodes_a_job_need_a_tenth_of_the_slots() -> None:
    assert needs(replace(COSTS, episodes=10), 1_000).concurrency == 40


def test_redis_is_sized_by_its_cpu_and_by_what_stays() -> None:
    large = needs(COSTS, 1_000)

    assert (large.redis_cores, large.redis_servers) == (1.0, 2)
    assert large.redis_day == 1_000 * 3_600 * 4_000 + 1_000 * 86_400 * 3_000 + 80e6
    assert large.redis_hour == 1_000 * 3_600 * 7_000 + 80e6
    assert large.redis_backlog == 1_000 * 3_600 * 2_000


def test_costs_are_those_of_a_call() -> None:
    one, ten = costs_of(measured("costs", "costs-ten", "kept").rows)

    assert (one.worker, one.redis, one.waiting, one.hour, one.day) == (1.0, 0.001, 1_000, 1_000, 1_000)
    assert (ten.worker, ten.redis, ten.waiting, ten.hour, ten.day) == (0.1, 0.0001, 100, 100, 100)
    assert one.bounded == 1_000 * 100_000


def test_a_row_that_was_not_measured_is_named() -> None:
    with pytest.raises(ValueError, match="the results have no costs-ten kept: measure with `scale`"):
        costs_of(measured("costs", "kept").rows)


def test_the_table_has_each_rate_with_one_and_with_ten_episodes() -> None:
    page = markdown([measured("costs", "costs-ten", "kept")])

    assert [line.split(" | ")[:2] for line in page.splitlines()[4:10]] == [
        ["| 10", "1"],
        ["| 100", "1"],
        ["| 1,000", "1"],
        ["| 10", "10"],
        ["| 100", "10"],
        ["| 1,000", "10"],
    ]
    assert "| 1,000 | 1 | 2,000 | 1429 |" in page


def test_growth_is_told_by_size_with_median_and_spread() -> None:
    results = measured("backlog-1k", "backlog-10k", "costs", "costs-ten", "kept", "workers-2")
    line = next(line for line in results.rows[1].lines if line.key == "waiting")
    line.values = [2_300.0, 2_500.0, 2_400.0]

    page = markdown([results])

    headings = [text for text in page.splitlines() if text.startswith("### ")]
    assert headings == [
        "### A job, from being enqueued until it is over",
        "### What stays in Redis of a job that is over, in bytes",
        "### Workers, on the same cores",
        "### Jobs that wait",
    ]
    assert "| 10,000 | 1,000.00 ms | 1,000 µs | 1,000.0 | 2,400<br>(2,300 to 2,500) | 1,000 MB |" in page
    assert "| 1,000 | 1,000.00 ms | 1,000 µs | 1,000.0 | 1,000 | 1,000 MB |" in page


def test_every_column_of_growth_is_a_figure_of_its_rows() -> None:
    for pivot in PIVOTS:
        for name, _ in pivot.rows:
            rows = [row for key, row in SCALE.items() if key == name or (name.endswith("-") and key.startswith(name))]
            known = {key for row in rows for key in row.figures}
            assert rows, name
            assert known & {key for key, _ in pivot.columns}, name
    last = {
        key for name, _ in PIVOTS[-1].rows for row in SCALE.values() if row.name.startswith(name) for key in row.figures
    }
    assert {key for key, _ in PIVOTS[-1].columns} == last


def test_of_a_row_in_several_results_the_last_that_was_measured_counts() -> None:
    older, newer = measured("costs", "costs-ten", "kept", "backlog-1k"), measured("costs", "backlog-10k", "backlog-1k")
    older.commit, newer.commit = "older", "newer"
    for line in newer.rows[0].lines:
        line.values = [2_000.0]
    for line in newer.rows[2].lines:
        line.values = []

    page = markdown([older, newer])

    assert latest([older, newer]) == [newer.rows[0], older.rows[1], older.rows[2], older.rows[3], newer.rows[1]]
    assert "* `costs-ten`, `kept`, `backlog-1k`: measured " in page
    assert "* `costs`, `backlog-10k`: measured " in page
    assert page.index("commit older") < page.index("commit newer")
