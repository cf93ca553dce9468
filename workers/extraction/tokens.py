"""How many tokens a text has, about: no vocabulary, nothing to download, microseconds a page.

Vendors count differently, and most publish no vocabulary. These weights lean to the high side of o200k, so that what
is judged to fit does fit; whoever bills or rations corrects them with the usage that the vendor reports.
"""

import math
import re
import string

#: Tokens per character. Words share tokens; digits and punctuation much less.
_ASCII_WORD = 0.28
_ASCII_SYMBOL = 0.65
#: Accented Latin breaks words apart.
_LATIN = 0.75
#: Alphabets that the large vocabularies know well.
_ALPHABET = 0.45
#: Ideographs, kana and Hangul syllables.
_CJK = 1.0
#: Emoji and scripts that vocabularies spell byte by byte, such as Ethiopic.
_RARE = 2.0

_DROP_SYMBOLS = str.maketrans("", "", string.digits + string.punctuation)
_LATIN_CHARS = re.compile("[\u0080-\u036f\u1e00-\u1eff\u2000-\u206f]")
_ALPHABET_CHARS = re.compile("[\u0370-\u052f\u0590-\u06ff\u0900-\u0e7f\u10a0-\u10ff]")
_CJK_CHARS = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def estimate_tokens(text: str) -> int:
    """Tokens of a text, from 10 % below to 60 % above o200k's count for prose of a sentence or more, chat and JSON."""
    ascii_text = text if text.isascii() else text.encode("ascii", "ignore").decode("ascii")
    words = len(ascii_text.translate(_DROP_SYMBOLS))
    weight = words * _ASCII_WORD + (len(ascii_text) - words) * _ASCII_SYMBOL
    rest = len(text) - len(ascii_text)
    if rest:
        for chars, tokens in ((_LATIN_CHARS, _LATIN), (_ALPHABET_CHARS, _ALPHABET), (_CJK_CHARS, _CJK)):
            found = len(text) - len(chars.sub("", text))
            weight += found * tokens
            rest -= found
        weight += rest * _RARE
    return math.ceil(weight)
