"""The entities of one answer: cleaned, typed, looked up in the episode, and found again by the facts."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from tasks.contract import ExtractionJob
from workers.extraction.evidence import Source
from workers.extraction.instructions import EXAMPLE_NAMES, OTHER_TYPE
from workers.extraction.loops import is_circling
from workers.extraction.merge import merge_entities
from workers.extraction.names import is_part_of, name_key
from workers.extraction.notes import Notes, WarningCode
from workers.extraction.prompt import list_types
from workers.extraction.pronouns import resolve_pronoun, speaker_name
from workers.extraction.results import ExtractedEntity, Unit
from workers.extraction.schema import LABEL_CHARS, SENTENCE_CHARS, RawEntity

_EXAMPLE: Final = frozenset(map(name_key, EXAMPLE_NAMES))
#: What a speaker is, where the job tells it apart.
_PERSON: Final = "person"


class EntityTable:
    """Collects the entities that the episode bears out, and says which one a fact means.

    Args:
        unit: what was asked.
        job: for its types and language.
        source: the unit's text.
        notes: takes what was repaired or left out.
        others: texts that shared the prompt; what only they name is not of this episode.
    """

    def __init__(
        self, unit: Unit, job: ExtractionJob, source: Source, notes: Notes, others: Sequence[Source] = ()
    ) -> None:
        self._episode = unit.episode
        self._notes = notes
        self._types = {name_key(name): name for name in (*list_types(job), OTHER_TYPE)}
        self._speaker = speaker_name(unit.episode)
        self._speaker_key = name_key(self._speaker or "")
        self._source = source
        self._others = others
        #: All but the others: names of the context and of the job's instructions may stand for a pronoun.
        self._shown = Source(unit.prompt.user)
        # In another language names are written differently, and cannot be looked up.
        self._translated = job.language is not None
        self._entities: list[ExtractedEntity] = []
        self._names: dict[str, str] = {}
        #: Keys of entities that only count if a fact needs them, since the episode itself does not name them.
        self._pending: set[str] = set()
        #: Entities left out because nothing bears them out.
        self.invented = 0

    def add(self, raw: RawEntity) -> None:
        """Take an entity of the answer, if something bears it out."""
        name = self.resolve(raw.name)
        if name is None or is_circling(name):
            self._notes.add(WarningCode.REPETITION if name else WarningCode.NAME_IS_PRONOUN, raw.name)
            return
        if self.is_copied(name):
            self.invented += 1
            self._notes.add(WarningCode.EXAMPLE_COPIED, name)
            return
        if not (self._is_speaker(name) or self._source.accounts_for(name)):
            if (not self._translated and not self._shown.accounts_for(name)) or self.is_foreign(name):
                self.invented += 1
                self._notes.add(WarningCode.ENTITY_INVENTED, name)
                return
            self._pending.add(name_key(name))
        summary = _cut(raw.summary)
        kind = self._type(raw.type, name)
        self._store(ExtractedEntity(name=name, type=kind, summary="" if is_circling(summary) else summary))

    def resolve(self, name: str) -> str | None:
        """The name itself, or that of the speaker if it means the speaker; None if it is a pronoun of nobody known."""
        if is_part_of(name_key(name), self._speaker_key) and not self._source.names(name):
            return self._speaker
        return resolve_pronoun(name, self._episode)

    def find_subject(self, name: str) -> str | None:
        """The entity that a resolved name means; one that the model forgot to list is added if the episode names it."""
        found = self._find(name)
        if found or not (self._is_speaker(name) or self._source.names(name)):
            return found
        return self._add_forgotten(name)

    def find_object(self, name: str) -> str | None:
        """The entity that a resolved name means; None if it is a literal. The speaker is always an entity."""
        found = self._find(name)
        return self._add_forgotten(name) if found is None and self._is_speaker(name) else found

    def is_copied(self, name: str) -> bool:
        """Whether a name is the example's and not the episode's."""
        return name_key(name) in _EXAMPLE and not self._shown.names(name)

    def is_foreign(self, name: str) -> bool:
        """Whether a name is that of another episode of the prompt, and of nothing else that the model was shown."""
        return (
            any(char.isalpha() for char in name)
            and not self._shown.accounts_for(name)
            and any(other.names(name) for other in self._others)
        )

    def kept(self, used: AbstractSet[str]) -> list[ExtractedEntity]:
        """The entities that the episode names or a fact needs, each once.

        Args:
            used: names that facts speak of.
        """
        needed = {name_key(name) for name in used}
        return merge_entities(
            entity for entity in self._entities if (key := name_key(entity.name)) not in self._pending or key in needed
        )

    def _find(self, name: str) -> str | None:
        key = name_key(name)
        if key in self._names:
            return self._names[key]
        longer = [whole for whole in self._names if is_part_of(key, whole)]
        return self._names[longer[0]] if len(longer) == 1 else None

    def _add_forgotten(self, name: str) -> str:
        kind = self._types.get(_PERSON, OTHER_TYPE) if self._is_speaker(name) else OTHER_TYPE
        self._notes.add(WarningCode.ENTITY_ADDED, name)
        self._store(ExtractedEntity(name=name, type=kind))
        return name

    def _is_speaker(self, name: str) -> bool:
        return self._speaker is not None and name_key(name) == self._speaker_key

    def _store(self, entity: ExtractedEntity) -> None:
        self._entities.append(entity)
        self._names.setdefault(name_key(entity.name), entity.name)

    def _type(self, claimed: str, name: str) -> str:
        kind = self._types.get(name_key(claimed[:LABEL_CHARS]))
        if kind is None:
            self._notes.add(WarningCode.TYPE_UNKNOWN, name)
        return kind or OTHER_TYPE


def _cut(summary: str) -> str:
    if len(summary) <= SENTENCE_CHARS:
        return summary
    return summary[: SENTENCE_CHARS - 1].rsplit(" ", 1)[0] + "…"
