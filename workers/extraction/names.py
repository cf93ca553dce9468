"""When two names are one, and the ids that follow from them."""

import hashlib
import unicodedata
from functools import lru_cache
from typing import Final

#: Symbols that tell names apart: C++ and C#, A&B, @ana.
_TELLING: Final = frozenset("#@&%*/\\")
_APOSTROPHES: Final = frozenset("'’ʼ＇`´")  # noqa: RUF001


class _Plain(dict[int, str]):
    """What is left of each character of a name."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        if char in _APOSTROPHES:
            plain = ""
        elif char.isspace() or (unicodedata.category(char)[0] in "PC" and char not in _TELLING):
            plain = " "
        else:
            plain = char
        self[point] = plain
        return plain


_PLAIN = _Plain()


@lru_cache(maxsize=4_096)  # each name is compared many times within an answer
def name_key(name: str) -> str:
    """What two spellings of one name share: case, width, punctuation and spacing don't count; accents do."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.translate(_PLAIN).split()) or folded.strip()


def stable_id(prefix: str, *parts: str) -> str:
    """The same id for the same parts, today and in a year: 80 bits of SHA-256."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{prefix}_{digest[:20]}"


def is_part_of(part: str, whole: str) -> bool:
    """Whether one name (as a key) is the first or last words of another: Ana of Ana Lima."""
    return part != whole and (whole.startswith(f"{part} ") or whole.endswith(f" {part}"))
