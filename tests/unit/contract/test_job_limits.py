from dataclasses import fields
from typing import Any

import pytest

from tasks.contract import LIMITS, FailureCode, JobRefused, parse_job
from tests.unit.contract.cases import CANARY, LIMIT_CASES, LimitCase, episode, job

CASES = pytest.mark.parametrize("case", LIMIT_CASES, ids=lambda case: f"{case.limit} of {case.field}")


def test_every_limit_has_a_case() -> None:
    assert {case.limit for case in LIMIT_CASES} == {field.name for field in fields(LIMITS)}


@CASES
def test_a_job_at_the_limit_is_accepted(case: LimitCase) -> None:
    assert parse_job(case.build(case.bound)).project


@CASES
def test_a_job_one_beyond_the_limit_is_refused_naming_field_and_limit_and_never_the_value(case: LimitCase) -> None:
    with pytest.raises(JobRefused) as caught:
        parse_job(case.build(case.bound + 1))

    [problem] = caught.value.details["problems"]
    assert problem.startswith(f"{case.field}")
    assert str(case.bound) in problem
    assert CANARY.lower() not in caught.value.message.lower()
    assert caught.value.code is FailureCode.INVALID_JOB


@pytest.mark.parametrize("episodes", [[], None], ids=["empty", "null"])
def test_a_job_without_episodes_is_refused(episodes: Any) -> None:
    with pytest.raises(JobRefused, match=r"episodes: "):
        parse_job(job(episodes=episodes))


@pytest.mark.parametrize(
    "content",
    [
        {"content": ""},
        {"content": " \n\t"},
        {"kind": "json", "content": ""},
        {"kind": "json", "content": {}},
        {"kind": "json", "content": []},
        {"kind": "json", "content": None},
    ],
    ids=str,
)
def test_an_episode_without_content_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(JobRefused, match="content is empty"):
        parse_job(job(episodes=[episode(**content)]))


@pytest.mark.parametrize("content", [0, False, [None], {"k": None}], ids=str)
def test_json_that_is_falsy_but_says_something_is_accepted(content: Any) -> None:
    assert parse_job(job(episodes=[episode(kind="json", content=content)])).episodes[0].content == content
