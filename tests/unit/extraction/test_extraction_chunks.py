from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import EpisodeKind
from workers.extraction import estimate_tokens
from workers.extraction.chunks import CHUNK_TOKENS, OVERLAP_TOKENS, spans

TEXT = EpisodeKind.TEXT
SENTENCES = [f"Sentence number {number} says that nothing much has happened on that day. " for number in range(1_500)]


def chunks(
    text: str, kind: EpisodeKind = TEXT, *, chunk: int = CHUNK_TOKENS, overlap: int = OVERLAP_TOKENS
) -> list[str]:
    return [text[start:end] for start, end in spans(text, kind, chunk_tokens=chunk, overlap_tokens=overlap)]


def assert_sound(text: str, found: list[tuple[int, int]]) -> None:
    assert found[0][0] == 0
    assert found[-1][1] == len(text)
    for (start, end), (next_start, next_end) in pairwise(found):
        assert start < next_start < end < next_end, "neighbours overlap, and each brings something new"


@given(
    text=st.text(alphabet=st.sampled_from("ab .\n,}]é語\U0001f389"), min_size=1, max_size=400),
    kind=st.sampled_from(list(EpisodeKind)),
    chunk=st.integers(min_value=12, max_value=60),
)
def test_every_character_is_in_some_chunk_and_neighbours_overlap(text: str, kind: EpisodeKind, chunk: int) -> None:
    found = spans(text, kind, chunk_tokens=chunk, overlap_tokens=chunk // 10)

    assert_sound(text, found)
    assert all(estimate_tokens(text[start:end]) <= chunk for start, end in found)


@pytest.mark.parametrize("text", ["", "Hi.", "x" * 10_000, "語" * 3_999])
def test_what_fits_is_not_cut(text: str) -> None:
    assert spans(text, TEXT) == [(0, len(text))]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("".join(SENTENCES), TEXT),
        ("語" * 20_000, TEXT),
        ("x" * 60_000, TEXT),
        ("\U0001f389" * 10_000, TEXT),
        (" " * 60_000, TEXT),
        (",".join(f'{{"id":{number},"state":"open"}}' for number in range(2_000)), EpisodeKind.JSON),
    ],
    ids=["sentences", "ideographs", "no break at all", "emoji", "blanks", "json"],
)
def test_chunks_of_long_texts_are_sound_and_bounded(text: str, kind: EpisodeKind) -> None:
    found = spans(text, kind)

    assert len(found) > 1
    assert_sound(text, found)
    for start, end in found:
        assert estimate_tokens(text[start:end]) <= CHUNK_TOKENS
    for (_, end), (start, _) in pairwise(found):
        assert estimate_tokens(text[start:end]) <= OVERLAP_TOKENS


def test_prose_is_cut_between_sentences_and_overlaps_by_whole_ones() -> None:
    for chunk in chunks("".join(SENTENCES)):
        assert chunk.startswith("Sentence number")
        assert chunk.rstrip().endswith("on that day.")


def test_a_paragraph_is_a_better_end_than_a_sentence() -> None:
    text = "One two three four. " * 12 + "\n\n" + "Five six seven. " * 12

    assert chunks(text, chunk=80, overlap=8)[0].endswith("\n\n")


def test_a_paragraph_that_ends_early_does_not_make_a_short_chunk() -> None:
    text = "One two three four. " * 4 + "\n\n" + "Five six seven. " * 40

    first = chunks(text, chunk=80, overlap=8)[0]

    assert estimate_tokens(first) > 40


def test_a_chunk_begins_as_early_as_the_overlap_allows() -> None:
    text = "One two three four. " * 14 + "\n\nShort.\n\n" + "Five six seven. " * 20

    second = chunks(text, chunk=100, overlap=20)[1]

    assert second.startswith("One two three four. One two")


def test_sentences_are_found_without_blanks_between_them() -> None:
    text = "今日は良い天気です。" * 100

    found = chunks(text, chunk=95, overlap=25)

    assert all(chunk.startswith("今日") and chunk.endswith("。") for chunk in found)


def test_words_are_not_torn_where_there_are_no_sentences() -> None:
    found = chunks("wordy " * 200, chunk=40, overlap=6)

    assert all(set(chunk.split()) == {"wordy"} for chunk in found)


def test_json_is_cut_between_its_elements() -> None:
    text = "[" + ",".join('{"name":"n","state":"open"}' for _ in range(50)) + "]"

    found = chunks(text, EpisodeKind.JSON, chunk=100, overlap=20)

    assert all(chunk.endswith("},") for chunk in found[:-1])


def test_the_cuts_are_the_same_every_time() -> None:
    text = "".join(SENTENCES)

    assert spans(text, TEXT) == spans(text, TEXT)
