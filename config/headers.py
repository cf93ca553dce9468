"""What may stand in a header of HTTP. Pure."""

import re

_SAFE = re.compile(r"[\x21-\x7e]+")


def fits_header(text: str) -> bool:
    """Whether a text is one word of visible ASCII, as every credential in a header is."""
    return _SAFE.fullmatch(text) is not None
