"""The header that names a message's lane: what it says to the scripts, and what does not pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.lanes.header import LaneHeader

HEADER = {
    "meter": "/byom/projects/acme/credentials/main#gpt-6-luna",
    "tenant": "p/acme",
    "project": "acme",
    "connection": "primary",
    "priority": "live",
    "weight": 2.0,
    "input": 1_200,
    "calls": 3,
    "patience": 30.5,
    "fallback": True,
    "of a later version": 1,
}


def message(header: Any, *, tag: Any = "7c9e6679") -> dict[str, Any]:
    return {"headers": {"byom": header}, "properties": {"delivery_tag": tag}}


def test_a_header_names_lane_and_label() -> None:
    header = LaneHeader.of(message(HEADER), queue="extract.openai")

    assert header is not None
    assert str(header.lane("extract.openai")).split("\t") == [
        "extract.openai",
        "live",
        "p/acme",
        "/byom/projects/acme/credentials/main#gpt-6-luna",
        "acme",
    ]
    assert header.label("7c9e6679") == "1200 0 3 30.500 1 7c9e6679"


@pytest.mark.parametrize("name", ["meter", "tenant", "project", "priority", "input", "calls", "patience"])
def test_nothing_that_is_needed_may_be_missing(name: str) -> None:
    header = {key: value for key, value in HEADER.items() if key != name}

    assert LaneHeader.of(message(header), queue="q") is None


@pytest.mark.parametrize("tag", [None, 5, "", "two words", "line\nbreak", "ü", "x" * 300])
def test_a_tag_that_would_break_the_label_belongs_in_no_lane(tag: Any) -> None:
    assert LaneHeader.of(message(HEADER, tag=tag), queue="q") is None


@pytest.mark.parametrize("queue", ["", "a\tb", "a\nb"])
def test_a_queue_that_would_break_the_name_has_no_lanes(queue: str) -> None:
    assert LaneHeader.of(message(HEADER), queue=queue) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(HEADER)), value=ANYTHING)
def test_whatever_a_producer_writes_a_label_keeps_its_seven_words(name: str, value: Any) -> None:
    header = LaneHeader.of(message({**HEADER, name: value}), queue="q")

    if header is not None:
        assert len(f"1.5 {header.label('t')}".split(" ")) == 7
        assert len(str(header.lane("q")).split("\t")) == 5
        assert "\n" not in header.label("t")


@given(found=ANYTHING)
def test_whatever_a_message_is_it_belongs_in_a_lane_or_in_none(found: Any) -> None:
    assert LaneHeader.of(found, queue="q") is None
    assert LaneHeader.of(message(found), queue="q") is None


def test_what_comes_from_outside_has_no_place_in_lanes_whatever_it_says() -> None:
    assert LaneHeader.of(message(HEADER), queue="byom.extract") is None
