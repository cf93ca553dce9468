"""Conditions on earlier results: a small language that says what it cannot read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.backfill.conditions import ConditionError, parse_conditions

OLD = {
    "prompt_version": "1",
    "schema_version": "2.10",
    "provider": "openai",
    "model": "gpt-6-luna",
    "status": "succeeded",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("prompt_version<2", True),
        ("prompt_version < 1", False),
        ("prompt_version<=1", True),
        ("prompt_version=1", True),
        ("prompt_version==1", True),
        ("prompt_version=1.0", True),
        ("prompt_version!=1", False),
        ("prompt_version>=1", True),
        ("prompt_version>1", False),
        # By numbers, not by letters.
        ("schema_version>2.9", True),
        ("schema_version<2.9", False),
        ("schema_version<3", True),
        ("model=gpt-6-luna", True),
        ("model='gpt-6-luna'", True),
        ("model!=gpt-6-luna", False),
        ("provider=anthropic", False),
        ("status!=failed", True),
        ("prompt_version<2,model=gpt-6-luna", True),
        ("prompt_version<2 and model!=gpt-6-luna", False),
        ("prompt_version<2, provider=openai and status=succeeded", True),
    ],
)
def test_conditions_hold_or_not(text: str, holds: bool) -> None:  # noqa: FBT001
    assert parse_conditions(text).hold(OLD) is holds


def test_how_a_prompt_was_used_is_not_which_it_is() -> None:
    packed = OLD | {"prompt_version": "1-packed"}

    assert parse_conditions("prompt_version=1").hold(packed)
    assert not parse_conditions("prompt_version<1").hold(packed)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("prompt_version<1", True),
        ("prompt_version>=0", False),
        ("prompt_version!=1", True),
        ("model=gpt-6-luna", False),
        ("model!=gpt-6-luna", True),
        ("status=failed", True),
    ],
)
def test_what_failed_has_no_version_and_no_model(text: str, holds: bool) -> None:  # noqa: FBT001
    assert parse_conditions(text).hold({"status": "failed"}) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no condition"),
        ("prompt_version", "'prompt_version' is no condition"),
        ("prompt_version<", "is no condition"),
        ("prompt_version<2,", "'' is no condition"),
        ("prompt_version<2 model=x", "is no condition"),
        ("prompt_versoin<2", "'prompt_versoin' is no field of a result; choose from prompt_version, "),
        ("model<gpt-6", "model has no order"),
        ("prompt_version<two", "'two' is no version"),
        ("prompt_version<1.", r"'1\.' is no version"),
        ("model=''", "model is compared with nothing"),
        ("__import__('os')=1", "is no condition"),
    ],
)
def test_what_is_no_condition_says_why(text: str, said: str) -> None:
    with pytest.raises(ConditionError, match=said):
        parse_conditions(text)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_of_two_versions_exactly_one_of_three_holds(one: list[int], other: list[int]) -> None:
    first, second = (".".join(map(str, parts)) for parts in (one, other))

    holding = [
        sign for sign in "<=>" if parse_conditions(f"prompt_version{sign}{second}").hold({"prompt_version": first})
    ]

    assert len(holding) == 1
