"""Whether the episode says it: quotes and names looked up in a text.

Quotes are compared by their letters and digits only, without case, width and accents, since models tidy up spaces,
quotation marks and dashes while they copy. What is kept is always the text's own wording.
"""

import math
import re
import unicodedata
from collections import Counter
from functools import cached_property
from itertools import pairwise
from typing import Final

from workers.extraction.chunks import SENTENCE_END
from workers.extraction.schema import SENTENCE_CHARS

#: Share of a quote's trigrams that a sentence must have to be taken for what was meant.
_NEAR: Final = 0.7
#: Letters below which a quote is too short to be recognised when inexact.
_NEAR_LETTERS: Final = 8
#: Letters below which a word must match in full.
_STEM_LETTERS: Final = 4
#: Share of a longer word that must match, since many languages inflect names.
_STEM: Final = 0.6

_ELLIPSIS = re.compile(r"…|\.{3,}|\[\s*…\s*\]")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrtbf]")


class _Folding(dict[int, str]):
    """Each character's folded letters, worked out once; a blank for what is neither letter nor digit."""

    def __missing__(self, point: int) -> str:
        letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(point)).casefold())
        # Accents go; vowel signs, which are combining characters of class 0, are letters like others.
        kept = (char for char in letters if not unicodedata.combining(char))
        folded = "".join(char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in kept)
        # A lone accent must vanish, not part the word it stands in.
        self[point] = folded
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Lower-case words of letters and digits, one blank between them."""
    return " ".join(text.translate(_FOLDING).split())


class Source:
    """A text that quotes and names are looked up in. Indexes are built when they are first needed.

    Args:
        text: what the model was shown.
        is_json: escapes inside the text stand for the characters that a model would quote.
    """

    def __init__(self, text: str, *, is_json: bool = False) -> None:
        self.text = text
        # Same length, so that places in one are places in the other.
        self._read = _ESCAPE.sub(_unescape, text) if is_json and "\\" in text else text

    def quote(self, claimed: str) -> str | None:
        """The passage that a quote means, verbatim; None if the text does not have it."""
        claimed = claimed.strip()
        if not claimed:
            return None
        if len(claimed) <= SENTENCE_CHARS and claimed in self.text:
            return claimed
        # An ellipsis joins passages: they must follow one another.
        pieces = [letters for letters in (_letters(piece) for piece in _ELLIPSIS.split(claimed)) if letters]
        first = last = position = -1
        for piece in pieces:
            position = self._letters.find(piece, position + 1)
            if position < 0:
                return None
            first = position if first < 0 else first
            last = position = position + len(piece) - 1
        return self._passage(first, last) if pieces else None

    def nearest(self, claimed: str) -> str | None:
        """The sentence, or pair of sentences, that an inexact quote was most likely copied from."""
        wanted = _trigrams(_letters(claimed))
        if len(wanted) < _NEAR_LETTERS - 2:
            return None
        hits = Counter(window for trigram in wanted for window in self._windows_with.get(trigram, ()))
        if not hits:
            return None
        # Of equals the first, and of these the shortest: single sentences are indexed before pairs.
        window = min(hits, key=lambda number: (-hits[number], number))
        start, end = self._windows[window]
        if hits[window] < _NEAR * len(wanted) or end - start > SENTENCE_CHARS:
            return None
        return self.text[start:end].strip()

    def names(self, name: str) -> bool:
        """Whether the text plainly has this name: all of it, an ending added perhaps."""
        folded = fold(name)
        if not folded:
            return name in self.text
        if folded.isascii():
            return (f" {folded}" if len(folded) >= _STEM_LETTERS else f" {folded} ") in self._words
        # Particles and articles are written onto names in many scripts, and some don't part words at all.
        return folded.replace(" ", "") in self._letters

    def accounts_for(self, name: str) -> bool:
        """Whether at least half of a name's words are in the text, inflected perhaps."""
        if self.names(name):
            return True
        words = [word for word in fold(name).split() if len(word) > 1] or fold(name).split()
        return bool(words) and 2 * sum(map(self._has_word, words)) >= len(words)

    def _has_word(self, word: str) -> bool:
        if len(word) < _STEM_LETTERS:
            return f" {word} " in self._words
        stem = word[: max(_STEM_LETTERS - 1, math.ceil(_STEM * len(word)))]
        return f" {stem}" in self._words

    @cached_property
    def _words(self) -> str:
        """The folded text with a blank at both ends."""
        return f" {fold(self._read)} "

    @cached_property
    def _letters(self) -> str:
        return self._words.replace(" ", "")

    @cached_property
    def _places(self) -> list[int]:
        """For each of `_letters` where it stands in the text."""
        return [place for place, char in enumerate(self._read) for _ in _FOLDING[ord(char)].replace(" ", "")]

    def _passage(self, first: int, last: int) -> str:
        """The text from one of `_letters` to another, with what belongs to the last, cut if it is too long."""
        start, end = self._places[first], self._places[last] + 1
        if self._read[end - 1] != self.text[end - 1]:
            end += len(r"\u0000") - 1
        while end < len(self.text) and unicodedata.combining(self.text[end]):
            end += 1
        return self.text[start : min(end, start + SENTENCE_CHARS)]

    @cached_property
    def _windows(self) -> list[tuple[int, int]]:
        """Single sentences, then pairs of neighbours."""
        ends = [*(match.end() for match in SENTENCE_END.finditer(self._read)), len(self._read)]
        sentences = [span for span in pairwise([0, *ends]) if span[0] < span[1]]
        return [*sentences, *((one[0], two[1]) for one, two in pairwise(sentences))]

    @cached_property
    def _windows_with(self) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        for number, (start, end) in enumerate(self._windows):
            for trigram in _trigrams(_letters(self._read[start:end])):
                index.setdefault(trigram, []).append(number)
        return index


def _letters(text: str) -> str:
    return fold(text).replace(" ", "")


def _trigrams(letters: str) -> set[str]:
    return {letters[place : place + 3] for place in range(len(letters) - 2)}


def _unescape(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16)) if match[1] else " "
    return char.ljust(len(match[0]))
