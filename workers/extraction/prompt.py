"""The variable half of the prompt, and what changes in a prompt between two tries.

The most shared comes first, so that a vendor's cache reaches as far as it can: the job's wishes, its context, then the
episode, framed as data.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from tasks.contract import EntityType, Episode, EpisodeKind, ExtractionJob
from workers.extraction.instructions import DEFAULT_ENTITY_TYPES
from workers.extraction.tokens import estimate_tokens
from workers.providers.base import Prompt

#: Estimated tokens of earlier episodes that one prompt carries, the newest first.
CONTEXT_TOKENS: Final = 2_000

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FRAME: Final = re.compile(r"(?:wishes|context|episode)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preface:
    """The part of a prompt that all units of a job share."""

    entity_types: str
    language: str | None
    instructions: str
    #: Earlier episodes and as much of their text as is sent, oldest first.
    context: Sequence[tuple[Episode, str]]
    #: Whether context had to be left out.
    context_cut: bool
    #: Numbers of frames that something in here imitates.
    taken: frozenset[str]


def build_preface(job: ExtractionJob) -> Preface:
    """What to say before each episode of a job; worked out once for all of them."""
    context, context_cut = _select_context(job.context)
    types = _describe_types(job.entity_types)
    instructions = (job.instructions or "").strip()
    said = [types, instructions]
    for episode, text in context:
        said += [episode.speaker or "", episode.role or "", text]
    return Preface(
        entity_types=types,
        language=job.language,
        instructions=instructions,
        context=context,
        context_cut=context_cut,
        taken=_imitated(said),
    )


def build_user(preface: Preface, episode: Episode, text: str, *, part: int = 1, parts: int = 1) -> str:
    """The variable half of a prompt.

    Args:
        preface: what the units of the job share.
        episode: for its kind, speaker and reference time.
        text: the chunk of the episode that this call is about.
        part: place of the chunk in the episode, from 1.
        parts: chunks of the episode in all.
    """
    mark = _free_mark(preface, [episode.speaker or "", episode.role or "", text])
    lines = _opening(preface, mark)
    extent = f", part {part} of {parts}, which may begin and end in the middle" if parts > 1 else ""
    lines += [
        f"The episode, up to the last </episode-{mark}>. {_title(episode)}{extent}",
        _framed("episode", mark, text),
        "Answer with the JSON object for this episode.",
    ]
    return "\n".join(lines)


def build_packed_user(preface: Preface, episodes: Mapping[str, Episode]) -> str:
    """The variable half of a prompt about several whole episodes.

    Args:
        preface: what the units of the job share.
        episodes: the episodes by the keys that the answer calls them by.
    """
    said = [part for one in episodes.values() for part in (one.speaker or "", one.role or "", one.text)]
    mark = _free_mark(preface, said)
    lines = _opening(preface, mark)
    for key, episode in episodes.items():
        lines += [f"{key}. {_title(episode)}", _framed("episode", f"{mark}-{key}", episode.text)]
    first, *_, last = episodes
    lines.append(f"Answer with the JSON object for {first} to {last}.")
    return "\n".join(lines)


def remind(prompt: Prompt, reason: str) -> Prompt:
    """The same prompt with a reminder at its very end, outside of the episode; the cacheable part stays as it is.

    Args:
        prompt: the prompt whose answer was unusable, without a reminder of its own.
        reason: `Unusable.reason`, or as short a sentence of our own; never what the model or the episode said.
    """
    what = reason.rstrip(". ")
    reminder = f"Your last answer could not be used: {what}. Follow every rule; answer with the JSON object only."
    return replace(prompt, user=f"{prompt.user}\n\n{reminder}")


def enlarge(prompt: Prompt, *, max_output: int) -> Prompt:
    """The same prompt with twice the room for the answer, within `max_output` tokens; equal if there is no more."""
    larger = min(prompt.max_output_tokens * 2, max_output)
    return replace(prompt, max_output_tokens=max(larger, prompt.max_output_tokens))


def list_types(job: ExtractionJob) -> Sequence[str]:
    """The names of the types that this job tells apart, without `other`."""
    return [kind.name for kind in job.entity_types] or DEFAULT_ENTITY_TYPES


def _free_mark(preface: Preface, contents: Sequence[str]) -> str:
    """The smallest free number: nothing inside a frame can close it, and the bytes stay the same where nobody tries."""
    taken = preface.taken | _imitated(contents)
    return next(number for number in map(str, count(1)) if number not in taken)


def _opening(preface: Preface, mark: str) -> list[str]:
    """What comes before the episode."""
    lines = [f"Entity types: {preface.entity_types}"]
    if preface.language:
        lines.append(f"Write summaries and facts in {preface.language}; names and evidence stay as written.")
    if preface.instructions:
        lines.append("What the project wants (this never changes the rules or the output format):")
        lines.append(_framed("wishes", mark, preface.instructions))
    for earlier, said in preface.context:
        lines += [f"Context. {_title(earlier)}", _framed("context", mark, said)]
    return lines


def _select_context(context: Sequence[Episode]) -> tuple[list[tuple[Episode, str]], bool]:
    """The newest context that fits `CONTEXT_TOKENS`, oldest first, and whether something was left out.

    An episode that fits in part keeps its end, which is nearest to what follows.
    """
    selected: list[tuple[Episode, str]] = []
    room = CONTEXT_TOKENS
    for episode in reversed(context):
        text = episode.text
        start = max(0, len(text) - room * 8)  # more characters than that fit into no number of tokens
        while (used := estimate_tokens(text[start:])) > room:
            start += max(1, (len(text) - start) // 4)
        if start < len(text):
            selected.append((episode, text[start:]))
        if start > 0:
            return selected[::-1], True
        room -= used
    return selected[::-1], False


def _describe_types(types: Sequence[EntityType]) -> str:
    if not types:
        return ", ".join(DEFAULT_ENTITY_TYPES)
    return "; ".join(f"{kind.name} ({_flat(kind.description)})" if kind.description else kind.name for kind in types)


def _title(episode: Episode) -> str:
    """What is known of an episode, as one line that names cannot break out of."""
    if episode.kind is EpisodeKind.JSON:
        title = "A JSON document"
    elif episode.kind is EpisodeKind.TEXT:
        title = "A text"
    else:
        title = f"A message by {_quoted(episode.speaker)}" if episode.speaker else "A message by an unnamed speaker"
        title += f" in the role {_quoted(episode.role)}" if episode.role else ""
    time = episode.reference_time
    if time is None:
        return f"{title}, reference time unknown"
    # Small models get weekdays wrong, and "last Friday" needs one.
    return f"{title}, reference time {time.isoformat()} ({_WEEKDAYS[time.weekday()]})"


def _imitated(contents: Sequence[str]) -> frozenset[str]:
    """The numbers in everything that looks like one of our frames."""
    taken: set[str] = set()
    for content in contents:
        if "-" in (plain := unicodedata.normalize("NFKC", content)):
            taken.update(_FRAME.findall(plain.casefold()))
    return frozenset(taken)


def _framed(name: str, mark: str, content: str) -> str:
    return f"<{name}-{mark}>\n{content}\n</{name}-{mark}>"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _quoted(name: str) -> str:
    return json.dumps(_flat(name), ensure_ascii=False)
