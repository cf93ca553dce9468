"""One JSON object from one line. What is wrong with it is said without what it says."""

import json
from typing import Any, NoReturn


class NoDocument(Exception):
    """The line is no JSON object; the message says why."""


def read_document(raw: bytes) -> dict[str, Any]:
    """The object that a line holds.

    Args:
        raw: UTF-8, with or without a byte order mark.

    Raises:
        NoDocument: it holds none.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoDocument(f"not UTF-8 at byte {error.start + 1}") from None
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise NoDocument("nested too deep") from None
    except json.JSONDecodeError as error:
        raise NoDocument(f"not JSON: {error.msg} at column {error.colno}") from None
    except ValueError:
        raise NoDocument("not JSON: a number is too long") from None
    if not isinstance(document, dict):
        raise NoDocument("not a JSON object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise NoDocument(f"not JSON: {name} is no JSON number")
