"""The values that pass between extraction and the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tasks.contract import Episode, ResultWarning
from workers.providers.base import FaultKind, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is asked about at once at the least: an episode, or a chunk of a long one. Its prompt is about it alone."""

    #: From 1, over the whole job.
    index: int
    episode: Episode = field(repr=False)
    #: Place of the chunk in the episode, from 1.
    part: int
    #: Chunks of the episode in all.
    parts: int
    #: The chunk.
    text: str = field(repr=False)
    prompt: Prompt = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What one call is about: one unit, or several whole episodes that share a prompt."""

    units: tuple[Unit, ...]
    prompt: Prompt = field(repr=False)

    @classmethod
    def alone(cls, unit: Unit) -> Self:
        """A unit with its own prompt."""
        return cls(units=(unit,), prompt=unit.prompt)

    @property
    def index(self) -> int:
        """That of its first unit, which its attempts are named after."""
        return self.units[0].index

    @property
    def is_shared(self) -> bool:
        """Whether several episodes share the prompt."""
        return len(self.units) > 1


def keyed(units: Sequence[Unit]) -> dict[str, Unit]:
    """Units by what a shared prompt and its answer call them: e1, e2, … in their order."""
    return {f"e{number}": unit for number, unit in enumerate(units, start=1)}


class PromptTooLong(Exception):
    """An episode does not fit the model together with what the job sends along; another model may take it.

    The message names project and episode and says what to do; the engine adds the connection.
    """

    kind = FaultKind.CONTEXT_TOO_LONG


# Plain values, made of what the checks have looked at: to validate each once more would cost as much as the checks.
@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedEntity:
    """An entity that the checks let through."""

    name: str
    type: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFact:
    """A fact that the checks let through; its subject, and its object unless literal, are entities beside it."""

    subject: str
    predicate: str
    object: str
    object_is_literal: bool
    fact: str
    valid_at: AwareDatetime | None = None
    invalid_at: AwareDatetime | None = None
    #: Verbatim from the chunk, line breaks included.
    evidence: str


class Extracted(BaseModel):
    """What one unit yielded. Goes through JSON and back unchanged.

    Kept between attempts; a newer worker may have written it, so unknown fields are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    entities: list[ExtractedEntity] = []
    facts: list[ExtractedFact] = []
    warnings: list[ResultWarning] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """The answer cannot be mended. A value, not an exception: the engine decides what follows."""

    #: `MALFORMED` or `EMPTY`.
    kind: FaultKind
    #: For a log line and for a reminder to the model; never quotes the answer or the episode.
    reason: str
