"""What is wrong with a document, in words that never repeat what the customer sent."""

import re
from typing import Any, NamedTuple

from pydantic import ValidationError

#: Problems named in one message; a payload can have as many as it has fields.
_MOST = 20
#: Levels of a field's path that are named; whatever lies deeper is content.
_LEVELS = 3
#: What a field or a key must look like to be named; anything else may be content.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class Problem(NamedTuple):
    """One thing that is wrong."""

    #: Path of the field, such as `episodes.0.kind`.
    field: str
    #: What is wrong with it, and the limit where there is one.
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def problems(error: ValidationError, *, whole: str) -> list[Problem]:
    """The problems that pydantic found, in the order of the fields.

    Args:
        error: what pydantic raised.
        whole: what to call the document itself, for problems that belong to no field.
    """
    entries = error.errors(include_input=False, include_url=False)
    found = [Problem(_field(entry["loc"]) or whole, _message(entry)) for entry in entries[:_MOST]]
    if len(entries) > _MOST:
        found.append(Problem(whole, f"{len(entries) - _MOST} more problems"))
    return found


def _field(location: tuple[int | str, ...]) -> str:
    # Pydantic marks a problem with a key itself by one more step.
    path = [part for part in location if part != "[key]"][:_LEVELS]
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "?" for part in path)


def _message(entry: Any) -> str:
    return str(entry["msg"]).removeprefix("Value error, ")
