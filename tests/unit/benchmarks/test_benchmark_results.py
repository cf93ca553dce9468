from collections.abc import Sequence

import pytest
from rich.console import Console

from benchmarks.render import below_table, markdown, put, table
from benchmarks.results import Machine, Results, RowResult
from benchmarks.rows import FRACTION, Figure, Measured, Row, Sizes, at_least, at_most
from benchmarks.runner import measure_all

MACHINE = Machine(
    cores=2, processor="Some CPU", memory_gb=8, system="Linux 6.1", python="3.11.7", broker="Valkey 9.1.2"
)


def row_of(name: str, *values: float | Exception, **more: int) -> Row:
    """A row that finds one value after the other."""
    left = iter(values)

    def measure(_sizes: Sizes) -> Measured:
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return Measured(values={"ratio": found, "beside": 7}, notes=["as always"])

    figures = {
        "ratio": Figure(what=f"{name}: {{jobs}} jobs against a rival", form=FRACTION, reach=at_most(1 / 6)),
        "beside": Figure(what=f"{name} beside", form="{:.0f} ms"),
    }
    return Row(name=name, how=f"how {name} works", figures=figures, measure=measure, full={"jobs": 9, **more})


def begun(rows: Sequence[Row], repeats: int = 3) -> Results:
    found = [RowResult.begun(row, row.sizes(), repeats=repeats, command=f"measure {row.name}") for row in rows]
    return Results.begun(found, machine=MACHINE, commit="abc", quick=False)


def measured(*rows: Row, repeats: int = 3) -> Results:
    results = begun(rows, repeats)
    measure_all(rows, results)
    return results


def text(results: Results) -> str:
    wide = Console(width=160)
    with wide.capture() as shown:
        wide.print(table(results))
    return shown.get() + "\n".join(below_table(results))


def test_repeats_of_all_rows_take_turns_and_are_kept_each_time() -> None:
    rows = [row_of("one", 0.1, 0.2, 0.3), row_of("two", 0.4, 0.5, 0.6)]
    results, told, kept = begun(rows), list[str](), list[int]()

    measure_all(
        rows,
        results,
        told=told.append,
        keep=lambda so_far: kept.append(sum(len(row.lines[0].values) for row in so_far.rows)),
    )

    assert [line.split(":")[0] for line in told] == ["1/3 one", "1/3 two", "2/3 one", "2/3 two", "3/3 one", "3/3 two"]
    assert kept == [1, 2, 3, 4, 5, 6]
    assert [row.lines[0].values for row in results.rows] == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    assert [row.notes for row in results.rows] == [["as always"], ["as always"]]
    assert not results.failed


def test_a_row_that_takes_long_is_measured_less_often() -> None:
    rows = [row_of("long", 0.1), row_of("short", 0.1, 0.2)]
    results = begun(rows, repeats=2)
    results.rows[0].repeats = 1

    measure_all(rows, results)

    assert [row.lines[0].values for row in results.rows] == [[0.1], [0.1, 0.2]]
    assert not results.failed


def test_a_row_that_cannot_be_measured_says_why_and_the_others_are_measured() -> None:
    results = measured(row_of("bad", ValueError("no such\nthing"), 0.1, 0.1), row_of("good", 0.1, 0.1, 0.1))

    bad, good = results.rows
    assert bad.failures == ["ValueError: no such thing"]
    assert [len(bad.lines[0].values), len(good.lines[0].values)] == [2, 3]
    assert results.failed
    assert "bad could not be measured: ValueError: no such thing" in text(results)
    assert "* `bad` could not be measured: ValueError: no such thing" in markdown(results)


def test_a_row_that_forgets_a_figure_has_measured_nothing() -> None:
    row = row_of("some", 0.1)
    forgetful = Row(
        name=row.name,
        how=row.how,
        figures={**row.figures, "lost": Figure(what="lost")},
        measure=row.measure,
        full=row.full,
    )

    results = measured(forgetful, repeats=1)

    assert results.failed
    assert [line.values for line in results.rows[0].lines] == [[], [], []]
    assert "not measured" in text(results)


def test_results_are_the_same_after_a_round_trip() -> None:
    results = measured(row_of("one", 0.1, ValueError("x"), 0.3))

    again = Results.model_validate_json(results.model_dump_json())

    assert again == results
    assert text(again) == text(results)
    assert markdown(again) == markdown(results)


def test_the_table_says_least_median_greatest_and_what_was_reached() -> None:
    page = markdown(measured(row_of("fast", 0.1, 0.125, 0.5), row_of("slow", 0.1, 0.2, 0.25)))

    assert "| fast: 9 jobs against a rival | 1/10.0 | 1/8.0 | 1/2.0 | ≤ 1/6.0 | reached | 3 |" in page
    assert "| fast beside | 7 ms | 7 ms | 7 ms |  |  | 3 |" in page
    assert "| slow: 9 jobs against a rival | 1/10.0 | 1/5.0 | 1/4.0 | ≤ 1/6.0 | **not reached** | 3 |" in page
    assert "| `slow` | how slow works | `measure slow` | load " in page
    assert "2 cores (Some CPU), 8 GB, Linux 6.1; Python 3.11.7, Valkey 9.1.2; load average" in page
    assert "commit abc" in page


def test_a_short_table_has_only_what_is_to_be_reached() -> None:
    page = markdown(measured(row_of("fast", 0.1, 0.125, 0.5)), goals=True)

    assert "against a rival" in page
    assert "beside" not in page
    assert "measure fast" not in page
    assert "2 cores" in page


def test_a_table_of_small_sizes_says_so() -> None:
    results = measured(row_of("fast", 0.1), repeats=1)
    results.quick = True

    assert "the figures say nothing" in text(results)
    assert "the figures say nothing" in markdown(results)


def test_a_page_takes_the_table_at_its_mark_and_again() -> None:
    page = "before\n<!-- table: run -->\n<!-- end of table: run -->\nafter\n"

    once = put(page, "run", "| new |\n")
    twice = put(once, "run", "| newer |\n")

    assert once == "before\n<!-- table: run -->\n\n| new |\n\n<!-- end of table: run -->\nafter\n"
    assert twice == once.replace("new", "newer")
    with pytest.raises(ValueError, match="write '<!-- table: scale -->' and '<!-- end of table: scale -->'"):
        put(page, "scale", "")


def test_nothing_is_reached_that_was_not_measured() -> None:
    result = RowResult.begun(row_of("some"), {"jobs": 9}, repeats=1, command="")

    assert [line.reached for line in result.lines] == [None, None]
    assert at_least(0).reached([]) is False
