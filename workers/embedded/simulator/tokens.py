"""How the simulator counts tokens: one token per four bytes of UTF-8, rounded up.

The rule needs no vocabulary, gives the same count everywhere, and lies near the vendors' own counts for English
(about four characters a token) and for Chinese and Japanese (three bytes a character). It is this server's truth:
books, meters and the `usage` of answers all use it.
"""

BYTES_PER_TOKEN = 4


def count(text: str) -> int:
    """Tokens in a text."""
    size = len(text) if text.isascii() else len(text.encode())
    return (size + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def cut(text: str, tokens: int) -> str:
    """The longest beginning of a text that has at most this many tokens."""
    limit = max(tokens, 0) * BYTES_PER_TOKEN
    return text.encode()[:limit].decode(errors="ignore")
