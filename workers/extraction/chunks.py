"""Cutting a long episode into chunks that overlap.

Where the cuts fall depends on the text alone, never on the model: an output stored by an earlier attempt means the same
chunk when the job is delivered again or falls back to another model.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from tasks.contract import EpisodeKind
from workers.extraction.tokens import HUNDREDTHS, estimate_tokens, running_weights

#: Estimated tokens of one chunk: small models overlook more the longer the text, and what a dense chunk of this size
#: yields still fits their output limits.
CHUNK_TOKENS: Final = 4_000
#: Estimated tokens that a chunk repeats of the one before, so that no sentence is only ever seen in halves.
OVERLAP_TOKENS: Final = 200

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
SENTENCE_END: Final = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？｡][”’」』）]*|\n|[।؟۔]\s*")  # noqa: RUF001
_SPACE = re.compile(r"\s+")
_JSON_ELEMENT = re.compile(r"[}\]],\s*")
_JSON_FIELD = re.compile(r",\s*")

#: Places to end a chunk at, the best first. A chunk begins at all but the best, so that it overlaps as far as it may.
_PROSE = (_PARAGRAPH, SENTENCE_END, _SPACE)
_JSON = (_JSON_ELEMENT, _JSON_FIELD, _SPACE)


def spans(
    text: str, kind: EpisodeKind, *, chunk_tokens: int = CHUNK_TOKENS, overlap_tokens: int = OVERLAP_TOKENS
) -> list[tuple[int, int]]:
    """The chunks of a text as (start, end), in order; every character is in one, neighbours share some.

    Args:
        text: the whole episode.
        kind: JSON is cut between its elements, all else between paragraphs or sentences, where there are any.
        chunk_tokens: the most that one chunk may weigh.
        overlap_tokens: the most that two neighbours may share.
    """
    if estimate_tokens(text) <= chunk_tokens:
        return [(0, len(text))]
    breaks = _JSON if kind is EpisodeKind.JSON else _PROSE
    weights = running_weights(text)
    found: list[tuple[int, int]] = []
    start = 0
    while (reach := _reach(weights, start, chunk_tokens)) < len(text):
        end = _last_break(text, start + (reach - start) // 2, reach, breaks)
        found.append((start, end))
        start = _first_break(text, max(start + 1, _reach_back(weights, end, overlap_tokens)), end, breaks[1:])
    found.append((start, len(text)))
    return found


def _reach(weights: Sequence[int], start: int, tokens: int) -> int:
    """The furthest end such that the text from `start` weighs at most `tokens`; at least one character."""
    return max(start + 1, bisect_right(weights, weights[start] + tokens * HUNDREDTHS) - 1)


def _reach_back(weights: Sequence[int], end: int, tokens: int) -> int:
    """The earliest start such that the text up to `end` weighs at most `tokens`; at least one character."""
    return min(end - 1, bisect_left(weights, weights[end] - tokens * HUNDREDTHS))


def _last_break(text: str, low: int, high: int, breaks: tuple[re.Pattern[str], ...]) -> int:
    """The last good place to end within [low, high]; `high` if there is none."""
    for pattern in breaks:
        ends = [match.end() for match in pattern.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return high


def _first_break(text: str, low: int, high: int, breaks: tuple[re.Pattern[str], ...]) -> int:
    """The first good place to begin within [low, high); `low` if there is none."""
    for pattern in breaks:
        for match in pattern.finditer(text, low, high):
            if match.end() < high:
                return match.end()
            break
    return low
