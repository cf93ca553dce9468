"""The kinds of text that payloads are made of. Where a pattern is published, the code checks the same pattern."""

import re
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints

from .limits import LIMITS

#: Ids are path segments and Redis key parts; a narrow alphabet keeps both safe.
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: One line: no control characters, which would break out of a prompt line, a header or a log line.
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
#: ISO 8601 in the form that RFC 3339 shares with it; the time and the offset may be absent.
_ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
#: No user name and password: they would end up in logs.
_HTTP_URL = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#][!-~]*)?$"


def _matching(pattern: str, expected: str) -> Callable[[str], str]:
    """A check that says what is expected instead of printing the pattern."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(expected)
        return value

    return check


_check_iso_8601 = _matching(
    _ISO_8601, "must be ISO 8601, such as 2026-05-04T10:00:00+02:00; without an offset it is taken as UTC"
)


def _written_out(value: Any) -> Any:
    """Numbers are refused: nobody can tell seconds from milliseconds."""
    return value if isinstance(value, datetime) else _check_iso_8601(value if isinstance(value, str) else "")


def _aware(value: datetime) -> datetime:
    """A time without an offset is taken as UTC, so that every producer means the same instant."""
    if not MINYEAR < value.year < MAXYEAR:
        raise ValueError("is at the end of the calendar, where it has no equivalent in other time zones")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _shallow(value: Any) -> Any:
    """Checked before pydantic descends, and without recursion, so that a hostile payload cannot exhaust the stack."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > LIMITS.json_depth:
            raise ValueError(f"is nested deeper than the limit of {LIMITS.json_depth}")
        if isinstance(node, dict):
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
    return value


def is_identifier(text: str) -> bool:
    """Whether a text can be an `Identifier`, as names and the ids of jobs are."""
    return len(text) <= LIMITS.name_chars and re.fullmatch(IDENTIFIER, text) is not None


Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=LIMITS.name_chars)]

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LIMITS.name_chars, strip_whitespace=True),
    AfterValidator(_matching(_ONE_LINE, "must be one line without control characters")),
    Field(json_schema_extra={"pattern": _ONE_LINE}),
]

ReferenceTime = Annotated[
    datetime,
    BeforeValidator(_written_out, json_schema_input_type=Annotated[str, Field(pattern=_ISO_8601)]),
    AfterValidator(_aware),
]

#: BCP 47.
Language = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=LIMITS.language_chars)
]

HttpUrl = Annotated[
    str,
    StringConstraints(max_length=LIMITS.url_chars),
    AfterValidator(
        _matching(
            _HTTP_URL,
            "must be a URL such as https://host/path: http or https, plain ASCII, no user name or password in it",
        )
    ),
    Field(json_schema_extra={"pattern": _HTTP_URL}),
]

#: What an episode holds; its kind says which of these it may be.
Content = Annotated[
    JsonValue,
    BeforeValidator(_shallow),
    Field(
        json_schema_extra={
            "type": ["string", "object", "array", "number", "boolean"],
            "pattern": r"\S",
            "maxLength": LIMITS.episode_chars,
            "minProperties": 1,
            "minItems": 1,
        }
    ),
]
