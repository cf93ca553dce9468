"""Finding the episode inside a prompt."""

import json
import re
from dataclasses import dataclass
from datetime import datetime

#: The frame of each of several episodes in one of this project's prompts, with the key that the answer calls it by.
_KEYED_FRAME = re.compile(
    r"^<(?P<name>episode-\d+-(?P<key>e\d+))>\n(?P<text>.*?)\n</(?P=name)>$", re.DOTALL | re.MULTILINE
)
#: The frame that this project's prompts use, then what others use. A frame is closed by its own name only.
_FRAMES = (
    re.compile(r"^<(?P<name>episode-\d+)>\n(?P<text>.*)\n</(?P=name)>$", re.DOTALL | re.MULTILINE),
    re.compile(
        r"<(?P<name>episode|message|document|text|input)\b[^<>\n]*>\n?(?P<text>.*)\n?</(?P=name)>",
        re.DOTALL | re.IGNORECASE,
    ),
)
_QUOTED = r'("(?:[^"\\]|\\.)*")'
_SPEAKER = re.compile(rf"\bby {_QUOTED}")
_ROLE = re.compile(rf"\brole {_QUOTED}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_TYPES = re.compile(r"^Entity types: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What there is to read, and what the prompt says of it."""

    text: str
    speaker: str | None = None
    role: str | None = None
    reference: datetime | None = None
    #: Types of entity that the prompt allows; empty when it names none.
    types: tuple[str, ...] = ()


def find_passage(user: str) -> Passage:
    """The episode in the user part of a prompt; a prompt without a frame is read whole."""
    types = _allowed_types(user)
    frames = next((found for pattern in _FRAMES if (found := list(pattern.finditer(user)))), None)
    if frames is None:
        return Passage(text=user.strip(), types=types)
    return _passage(user, frames[-1], types)  # what else a prompt frames comes before the episode


def find_keyed_passages(user: str) -> dict[str, Passage]:
    """The episodes of a prompt about several of them, by their keys; empty for all other prompts."""
    types = _allowed_types(user)
    return {frame["key"]: _passage(user, frame, types) for frame in _KEYED_FRAME.finditer(user)}


def _passage(user: str, frame: re.Match[str], types: tuple[str, ...]) -> Passage:
    title = user[: frame.start()].rstrip("\n").rpartition("\n")[2]
    return Passage(
        text=frame["text"].strip("\n"),
        speaker=_string(_SPEAKER, title),
        role=_string(_ROLE, title),
        reference=_time(title),
        types=types,
    )


def _allowed_types(user: str) -> tuple[str, ...]:
    match = _TYPES.search(user)
    if match is None:
        return ()
    separator = ";" if ";" in match[1] else ","
    return tuple(part.partition("(")[0].strip() for part in match[1].split(separator) if part.strip())


def _string(pattern: re.Pattern[str], title: str) -> str | None:
    match = pattern.search(title)
    return str(json.loads(match[1])) if match else None


def _time(title: str) -> datetime | None:
    _, _, after = title.rpartition("reference time")
    match = _TIME.search(after)
    return datetime.fromisoformat(match[0]) if match else None
