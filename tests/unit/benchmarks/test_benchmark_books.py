import json
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.families.books import ROWS, found_in
from benchmarks.rows import CannotMeasure
from tests.chaos.summary import Summary
from tests.chaos.test_summary import report


def printed(**changes: Any) -> str:
    """As chaos prints one round."""
    one = report(**changes)
    return f"{json.dumps(asdict(one))}\n{json.dumps({'summary': asdict(Summary.of([one]))})}\n"


def test_the_report_of_a_round_is_read_as_chaos_prints_it() -> None:
    found = found_in(printed(settled=90, tokens=5_000, silent_tokens=30, struck=10))

    assert found.values == {"wrong": 0, "settled": 90, "tokens": 5_000, "silent": 30, "faults": 10, "kills": 6}
    assert found.values.keys() == ROWS[0].figures.keys()
    assert found.notes == ("seed 7: 2 kill, 1 kill at ending, 3 provider",)


def test_whatever_is_wrong_counts_and_is_told() -> None:
    found = found_in(printed(problems=("12 tokens are missing", "a job has no end")))

    assert found.values["wrong"] == 2
    assert found.notes[1:] == ("wrong with seed 7: 12 tokens are missing", "wrong with seed 7: a job has no end")


@pytest.mark.parametrize("text", ["", "no JSON\n", '{"summary": {}}\n'])
def test_a_round_without_a_report_was_not_measured(text: str) -> None:
    with pytest.raises(CannotMeasure):
        found_in(text)
