"""Small neighbours become one job where they may share a prompt; which ones depends on the lines alone."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import parse_job
from workers.backfill.entries import Entry
from workers.backfill.groups import grouped, joined
from workers.extraction import MOST_EPISODES, estimate_tokens


def entry(number: int, *, words: int = 10, pack_tokens: int | None = 400, **changes: Any) -> Entry:
    episode = {"id": f"e{number}", "content": "word " * words}
    fields = {"project": "acme", "episodes": [episode], "pack_tokens": pack_tokens} | changes
    return Entry(number=number, id=f"{number:032}", job=parse_job(fields))


def numbers(entries: Sequence[Entry]) -> list[list[int]]:
    return [[one.number for one in group] for group in grouped(entries)]


def test_neighbours_go_together_as_far_as_their_tokens_fit() -> None:
    entries = [entry(number, words=100) for number in range(1, 8)]
    each = estimate_tokens(entries[0].job.episodes[0].text)

    assert 2 * each < 400 < 3 * each
    assert numbers(entries) == [[1, 2], [3, 4], [5, 6], [7]]


def test_no_more_go_together_than_one_prompt_takes() -> None:
    assert [len(group) for group in grouped(entry(number, words=1) for number in range(40))] == [
        MOST_EPISODES,
        MOST_EPISODES,
        40 - 2 * MOST_EPISODES,
    ]


def test_without_packing_every_line_is_a_job() -> None:
    assert numbers([entry(1, pack_tokens=None), entry(2, pack_tokens=None)]) == [[1], [2]]


@pytest.mark.parametrize(
    "changes",
    [
        {"language": "pt"},
        {"instructions": "Places only."},
        {"labels": {"team": "a"}},
        {"entity_types": [{"name": "ship"}]},
        {"callback_url": "https://example.com/"},
        {"pack_tokens": 300},
        {"economy": True},
    ],
)
def test_lines_that_ask_for_different_things_stay_apart(changes: dict[str, Any]) -> None:
    assert numbers([entry(1), entry(2, **changes), entry(3, **changes)]) == [[1], [2, 3]]


@pytest.mark.parametrize(
    "own", [{"idempotency_key": "k"}, {"context": [{"id": "c", "content": "Earlier."}]}, {"session": "chat-17"}]
)
def test_lines_with_a_key_a_context_or_a_session_of_their_own_stay_apart(own: dict[str, Any]) -> None:
    assert numbers([entry(1, **own), entry(2, **own), entry(3)]) == [[1], [2], [3]]


def test_episodes_of_the_same_id_stay_apart() -> None:
    assert numbers([entry(1), entry(1), entry(2)]) == [[1], [1, 2]]


def test_a_group_is_one_job_with_all_episodes_in_order() -> None:
    [group] = grouped([entry(1), entry(2), entry(3)])

    job = joined(group)

    assert [episode.id for episode in job.episodes] == ["e1", "e2", "e3"]
    assert job == parse_job(job.model_dump(mode="json"))


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 60))
def test_every_line_is_in_one_group_and_groups_do_not_depend_on_what_was_skipped(words: list[int], at: int) -> None:
    entries = [entry(number, words=count) for number, count in enumerate(words)]
    groups = list(grouped(entries))

    assert [one for group in groups for one in group] == entries
    # From the beginning of any group on, the same groups follow: a reader may begin there again.
    begun = groups[min(at, len(groups)) :]
    rest = [one for group in begun for one in group]
    assert list(grouped(rest)) == begun
