"""From a model's answer to its elements: JSON, shape, bounds, loops. The episode is not looked at."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from pydantic import ValidationError

from workers.extraction.loops import is_repeating
from workers.extraction.notes import Notes, WarningCode
from workers.extraction.results import Unusable
from workers.extraction.schema import Raw, RawEntity, RawFact
from workers.providers.base import FaultKind

#: Entities, and facts, that one call may yield.
MAX_ITEMS: Final = 200
#: Characters of an answer that is looked at at all.
_MAX_CHARS: Final = 1_000_000

_Item = TypeVar("_Item", bound=Raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """The well-formed elements of an answer."""

    entities: list[RawEntity]
    facts: list[RawFact]


class _Malformed(Exception):
    """Ends the parsing; its argument is the reason."""


def parse_answer(text: str, notes: Notes) -> RawAnswer | Unusable:
    """The elements of an answer; what is malformed or too much is left out with a note.

    Byte order marks, code fences and chatter around the object are taken off.
    """
    text = text.strip("\ufeff\u200b \t\r\n")
    if not text:
        return Unusable(kind=FaultKind.EMPTY, reason="it was empty")
    try:
        return _parse(text, notes)
    except _Malformed as error:
        return Unusable(kind=FaultKind.MALFORMED, reason=str(error))


def _parse(text: str, notes: Notes) -> RawAnswer:
    if len(text) > _MAX_CHARS:
        raise _Malformed("it was far too long")
    answer = _load(text)
    if not isinstance(answer, dict):
        raise _Malformed("it was not one complete JSON object")
    lists = [answer[key] for key in ("entities", "facts") if key in answer]
    if not lists or not all(isinstance(entry, list) for entry in lists):
        raise _Malformed("it did not have the lists 'entities' and 'facts'")
    entities = list(_items(RawEntity, answer.get("entities", []), notes))
    facts = list(_items(RawFact, answer.get("facts", []), notes))
    if any(lists) and not entities and not facts:
        raise _Malformed("no element had all required fields, filled and short enough")
    statements = [(fact.subject, fact.predicate, fact.object) for fact in facts]
    if is_repeating([entity.name for entity in entities]) or is_repeating(statements):
        raise _Malformed("it repeated the same elements over and over")
    return RawAnswer(entities=entities, facts=facts)


def _load(text: str) -> Any:
    """The JSON value that a text is, or that it has between its outermost braces; None if there is none."""
    for candidate in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            # Numbers stay as they are written: all fields are text, and Python bounds the digits that it converts.
            return json.loads(candidate, parse_constant=_refuse, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            continue
    return None


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(constant)


def _items(kind: type[_Item], items: list[Any], notes: Notes) -> Iterator[_Item]:
    for item in items[:MAX_ITEMS]:
        try:
            yield kind.model_validate(item)
        except ValidationError:
            notes.add(WarningCode.ITEM_MALFORMED)
    for _ in items[MAX_ITEMS:]:
        notes.add(WarningCode.TOO_MANY_ITEMS)
