"""What the code says of its own names: the comments that begin with `#:`."""

import inspect
import re
from collections.abc import Iterator

_FIELD = re.compile(r" {4}(\w+)(?:: | = )")
_MEANING = "    #: "
#: Packages whose classes ours are made of; to read them takes long, and they say nothing of our names.
_FOREIGN = {"builtins", "enum", "pydantic", "pydantic_settings", "typing"}


def meanings(of: type) -> dict[str, str]:
    """Name → what the comment above it says, of a class and of those that it is made of.

    A name without a comment of its own is left out.
    """
    written = [kind for kind in reversed(of.__mro__) if kind.__module__.partition(".")[0] not in _FOREIGN]
    return {name: says for kind in written for name, says in told(inspect.getsource(kind))}


def told(source: str) -> Iterator[tuple[str, str]]:
    """The same of the text of one class."""
    said: list[str] = []
    for line in source.splitlines():
        if line.startswith(_MEANING):
            said.append(line.removeprefix(_MEANING).strip())
            continue
        if said and (field := _FIELD.match(line)):
            yield field[1], " ".join(said)
        said = []
