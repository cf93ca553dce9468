"""Recognising a model caught in a loop, as happens to small ones: the same words or elements until the cap."""

import re
from collections.abc import Hashable, Sequence
from typing import Final

#: The same piece five times in a row.
_CIRCLE: Final = re.compile(r"(.{4,60}?)\1{4,}")
#: Characters below which nobody minds.
_LINE: Final = 60
#: Of every circle some four characters, begun at one of every sixteen places, come back four times at least.
_GRAM: Final = 4
_STEP: Final = 16
#: A list this long of which less than this share is distinct was not meant.
_ITEMS: Final = 12
_DISTINCT: Final = 1 / 3


def is_circling(text: str) -> bool:
    """Whether a line of text repeats one piece over and over."""
    if len(text) < _LINE:
        return False
    # The search itself is slow, and rarely needed.
    grams = (text[place : place + _GRAM] for place in range(0, len(text), _STEP))
    return any(text.count(gram) >= _GRAM for gram in grams) and _CIRCLE.search(text) is not None


def is_repeating(items: Sequence[Hashable]) -> bool:
    """Whether a list has the same few elements over and over."""
    return len(items) >= _ITEMS and len(set(items)) < _DISTINCT * len(items)
