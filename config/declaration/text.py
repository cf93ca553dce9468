"""The YAML of a configuration file: a narrow, safe part of YAML in, and one canonical form out.

Read from the parser's events, without ever constructing an object or calling itself: no tags, no anchors and aliases
(one of a kilobyte can stand for a gigabyte), no key twice, no second document, bounded size and depth. Only `true`,
`false`, `null`, and plain numbers are not text, so that `no` and `2024-10-21` stay what they are.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from config.declaration.model import AccountEntry, ConfigFile, ProjectEntry
from config.errors import InvalidFile
from config.secret_looks import secrets_in

#: Characters of a file at most; some hundred thousand connections.
MOST_CHARACTERS = 32_000_000
#: Levels at most; a configuration has six.
MOST_LEVELS = 16

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MEND = "secrets never stand in this file; name the credential here and add its secret with: byom credential add"


def read_file(text: str, *, source: str) -> ConfigFile:
    """What a configuration file says.

    Args:
        text: YAML, or JSON, which is a part of it.
        source: what to call it in messages.

    Raises:
        InvalidFile: it is not what it should be; says where and what, and never repeats what stands there.
    """
    document = parse(text, source=source)
    if found := next(secrets_in(document), None):
        path, kind = found
        raise InvalidFile(f"{source}: {path} looks like {kind}; {_MEND}")
    try:
        return ConfigFile.model_validate(document)
    except ValidationError as error:
        listed = "; ".join(f"{_place(entry)}: {_said(entry)}" for entry in error.errors(include_input=False)[:20])
    raise InvalidFile(f"{source} does not fit: {listed}")


def write_file(file: ConfigFile) -> str:
    """A configuration file in its canonical form: the same configuration gives the same bytes."""
    document: dict[str, Any] = {"version": file.version}
    titled: tuple[tuple[str, Mapping[str, AccountEntry | ProjectEntry]], ...] = (
        ("accounts", file.accounts),
        ("projects", file.projects),
    )
    for title, levels in titled:
        entries: dict[str, Any] = {}
        for name, level in sorted(levels.items()):
            profile = level.profile.model_dump(mode="json", exclude_defaults=True)
            connections = {connection: _sorted_labels(own) for connection, own in level.documents().items()}
            entries[name] = {
                **({"profile": profile} if profile else {}),
                **({"connections": connections} if connections else {}),
            }
        if entries:
            document[title] = entries
    written: str = yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    return written


def parse(text: str, *, source: str) -> Any:
    """The values of a YAML document, as JSON knows them.

    Raises:
        InvalidFile: it is not YAML, or uses what is not allowed here.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidFile(f"{source} has more than {MOST_CHARACTERS:,} characters; split it by account or project")
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
    except (yaml.YAMLError, ValueError, RecursionError):
        # A character that YAML does not allow, or a number too long to be one.
        mark = None
    else:
        return builder.document
    # Raised outside the handlers: what the parser raised quotes the text, which may be a secret.
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    raise InvalidFile(f"{source} is not YAML{where}; check quotes, colons and indentation there")


class _Builder:
    """Builds the one document of a stream of events."""

    def __init__(self, source: str) -> None:
        self.document: Any = None
        self._source = source
        self._documents = 0
        #: Open collections, the innermost last; a mapping has the key that waits for its value beside it.
        self._stack: list[tuple[Any, list[str]]] = []

    def take(self, event: Any) -> None:
        """Take the next event.

        Raises:
            InvalidFile: it belongs to what is not allowed here.
        """
        self._check(event)
        match event:
            case yaml.ScalarEvent():
                self._put(event, _scalar(event))
            case yaml.SequenceStartEvent():
                self._open(event, [])
            case yaml.MappingStartEvent():
                self._open(event, {})
            case yaml.CollectionEndEvent():
                self._stack.pop()

    def _check(self, event: Any) -> None:
        if getattr(event, "anchor", None) is not None:
            raise self._refusal(event, "anchors and aliases (& and *) are not allowed; write the values out")
        if getattr(event, "tag", None) not in {None, "!"}:
            raise self._refusal(event, "tags (!…) are not allowed; leave it out")
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._refusal(event, "a second document begins; one file is one document")

    def _open(self, event: Any, collection: Any) -> None:
        if len(self._stack) == MOST_LEVELS:
            raise self._refusal(event, f"nested deeper than {MOST_LEVELS} levels")
        self._put(event, collection)
        self._stack.append((collection, []))

    def _put(self, event: Any, value: Any) -> None:
        if not self._stack:
            self.document = value
            return
        container, key = self._stack[-1]
        if isinstance(container, list):
            container.append(value)
        elif key:
            container[key.pop()] = value
        elif not isinstance(value, str):
            raise self._refusal(event, "a key is not text; put it in quotes")
        elif value in container:
            raise self._refusal(event, "a key stands here for the second time; remove one of the two")
        else:
            key.append(value)

    def _refusal(self, event: Any, what: str) -> InvalidFile:
        return InvalidFile(f"{self._source}, line {event.start_mark.line + 1}: {what}")


def _scalar(event: Any) -> Any:
    text: str = event.value
    # Plain text has no style, or in the parser written in C an empty one.
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _sorted_labels(document: dict[str, Any]) -> dict[str, Any]:
    labels = document.get("labels")
    return {**document, "labels": dict(sorted(labels.items()))} if labels else document


def _place(entry: Any) -> str:
    """Where a problem is. Keys that are no names, and might be anything, are not repeated."""
    path = [str(part) for part in entry["loc"] if part != "[key]"]
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", part) else "?" for part in path) or "the file"


def _said(entry: Any) -> str:
    return str(entry["msg"]).removeprefix("Value error, ")
