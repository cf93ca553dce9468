"""From a model's answer to its elements: JSON, shape, bounds, loops. The episode is not looked at."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
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

#: What some models and servers put around their JSON.
_MARGINS: Final = "\ufeff\u200b \t\r\n"
#: Up to the brace of the first part of an answer about several episodes, and from one part to the brace of the next.
_FIRST_PART = re.compile(r'"episodes"\s*:\s*\[\s*\{')
_NEXT_PART = re.compile(r"\s*,\s*\{")

_Item = TypeVar("_Item", bound=Raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """The well-formed elements of an answer."""

    entities: list[RawEntity]
    facts: list[RawFact]


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(constant)


#: Numbers stay as they are written: all fields are text, and Python bounds the digits that it converts.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)


class _Malformed(Exception):
    """Ends the parsing; its argument is the reason."""


def parse_answer(text: str, notes: Notes) -> RawAnswer | Unusable:
    """The elements of an answer; what is malformed or too much is left out with a note.

    Byte order marks, code fences and chatter around the object are taken off.
    """
    text = text.strip(_MARGINS)
    if not text:
        return Unusable(kind=FaultKind.EMPTY, reason="it was empty")
    if len(text) > _MAX_CHARS:
        return Unusable(kind=FaultKind.MALFORMED, reason="it was far too long")
    return parse_object(_load(text), notes)


def parse_object(answer: Any, notes: Notes) -> RawAnswer | Unusable:
    """The elements of an answer that is read already, or of one part of it."""
    try:
        return _parse(answer, notes)
    except _Malformed as error:
        return Unusable(kind=FaultKind.MALFORMED, reason=str(error))


def split_answer(text: str, keys: Collection[str]) -> dict[str, Any]:
    """The parts of an answer about several episodes, by their keys; without those that are missing or there twice.

    Of an answer that breaks off, or is damaged further on, the parts before that are whole.
    """
    parts: defaultdict[str, list[Any]] = defaultdict(list)
    for part in _parts(text.strip(_MARGINS)[:_MAX_CHARS]):
        key = part.get("episode") if isinstance(part, dict) else None
        if isinstance(key, str):
            parts[key.strip().lower()].append(part)
    # Of two answers for one episode nothing tells which is right.
    return {key: parts[key][0] for key in keys if len(parts.get(key, ())) == 1}


def _parts(text: str) -> list[Any]:
    answer = _load(text)
    if isinstance(answer, dict):
        answer = answer.get("episodes")
    if isinstance(answer, list):
        return answer
    begin = _FIRST_PART.search(text)
    if answer is not None or begin is None:
        return []
    found: list[Any] = []
    place = begin.end() - 1
    try:
        while True:
            part, place = _DECODER.raw_decode(text, place)
            found.append(part)
            following = _NEXT_PART.match(text, place)
            if following is None:
                return found
            place = following.end() - 1
    except (ValueError, RecursionError):
        return found


def _parse(answer: Any, notes: Notes) -> RawAnswer:
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
            return _DECODER.decode(candidate)
        except (ValueError, RecursionError):
            continue
    return None


def _items(kind: type[_Item], items: list[Any], notes: Notes) -> Iterator[_Item]:
    for item in items[:MAX_ITEMS]:
        try:
            yield kind.model_validate(item)
        except ValidationError:
            notes.add(WarningCode.ITEM_MALFORMED)
    for _ in items[MAX_ITEMS:]:
        notes.add(WarningCode.TOO_MANY_ITEMS)
