"""What a foreign producer may give a task, and what it is told when that is something else."""

from typing import Any

import pytest

from tasks.contract import FailureCode, JobRefused
from workers.task.arguments import sole_argument


@pytest.mark.parametrize(("given", "named"), [(["it"], {}), ([], {"job": "it"})], ids=str)
def test_the_one_argument_is_taken_wherever_it_is(given: list[Any], named: dict[str, Any]) -> None:
    assert sole_argument(given, named, name="job") == "it"


@pytest.mark.parametrize(
    ("given", "named"),
    [([], {}), (["it", "more"], {}), (["it"], {"job": "it"}), ([], {"project": "acme", "episodes": ["secret"]})],
    ids=str,
)
def test_anything_else_is_refused_with_how_to_call_and_without_what_was_given(
    given: list[Any], named: dict[str, Any]
) -> None:
    with pytest.raises(JobRefused, match=r"the job is the one positional argument .* args=\[job\]") as refused:
        sole_argument(given, named, name="job")

    assert refused.value.code is FailureCode.INVALID_JOB
    assert "secret" not in str(refused.value)
