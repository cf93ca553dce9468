"""What of a model's answer to believe.

Deterministic: what is mechanical is repaired, what the episode does not bear out is left out with a warning, and an
answer of which nothing can be believed is unusable.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from tasks.contract import EpisodeKind, ExtractionJob
from workers.extraction.dates import Calendar, UnreadableDate
from workers.extraction.entities import EntityTable
from workers.extraction.evidence import Source
from workers.extraction.loops import is_circling
from workers.extraction.merge import link_facts, merge_facts
from workers.extraction.names import name_key
from workers.extraction.notes import Notes, WarningCode
from workers.extraction.parse import RawAnswer, parse_answer, parse_object, split_answer
from workers.extraction.results import Extracted, ExtractedFact, Pack, Unit, Unusable, keyed
from workers.extraction.schema import LABEL_CHARS, RawFact
from workers.providers.base import FaultKind

#: Elements from which on it is no accident that none can be believed, or that all bear one date.
_MANY: Final = 3
#: Inexact quotes of one answer that are worth the time of mending.
_MENDABLE: Final = 20
#: Share of non-Latin letters from which on a text is taken to be in another script, and letters needed to say so.
_OTHER_SCRIPT: Final = 0.7
_SCRIPT_LETTERS: Final = 20
_SCRIPT_SAMPLE: Final = 2_000

_WORD_SEAM = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_LABEL = re.compile(r"[\W_]+")
_NOT_LATIN = re.compile(r"[^\W\d_a-zA-Z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")


def check(unit: Unit, job: ExtractionJob, text: str) -> Extracted | Unusable:
    """What can be believed of a model's answer to one unit. Never raises, whatever the answer.

    Args:
        unit: what was asked.
        job: the job that the unit is of.
        text: the answer, as it came.
    """
    notes = Notes()
    answer = parse_answer(text, notes)
    if isinstance(answer, Unusable):
        return answer
    return _Check(unit, job, _source(unit), notes).run(answer)


def check_pack(pack: Pack, job: ExtractionJob, text: str) -> dict[int, Extracted | Unusable]:
    """What can be believed of an answer about several episodes, by the indexes of their units. Never raises.

    Each part is judged by its own episode, as if it had come alone; what is of another episode is left out.

    Args:
        pack: what was asked.
        job: the job that the units are of.
        text: the answer as it came, or as far as it came.
    """
    units = keyed(pack.units)
    parts = split_answer(text, units)
    sources = {key: _source(unit) for key, unit in units.items()}
    judged: dict[int, Extracted | Unusable] = {}
    for key, unit in units.items():
        if key not in parts:
            judged[unit.index] = _unusable("it did not answer for each episode once")
            continue
        notes = Notes()
        answer = parse_object(parts[key], notes)
        others = [source for other, source in sources.items() if other != key]
        judged[unit.index] = (
            answer if isinstance(answer, Unusable) else _Check(unit, job, sources[key], notes, others).run(answer)
        )
    return judged


def _source(unit: Unit) -> Source:
    return Source(unit.text, is_json=unit.episode.kind is EpisodeKind.JSON)


class _LeftOut(Exception):
    """Ends the checks of one fact."""

    def __init__(self, code: WarningCode) -> None:
        super().__init__(code)
        self.code = code


class _Check:
    """One run of the checks over one answer."""

    def __init__(
        self, unit: Unit, job: ExtractionJob, source: Source, notes: Notes, others: Sequence[Source] = ()
    ) -> None:
        self._unit = unit
        self._job = job
        self._notes = notes
        self._source = source
        #: Texts that shared the prompt.
        self._others = others
        self._calendar = Calendar(unit.episode.reference_time, unit.prompt.user)
        self._table = EntityTable(unit, job, self._source, notes, others)
        self._inexact = 0
        self._unquoted = 0
        self._foreign = 0

    def run(self, answer: RawAnswer) -> Extracted | Unusable:
        for entity in answer.entities:
            self._table.add(entity)
        checked = [fact for raw in answer.facts if (fact := self._fact(raw))]
        if not checked and self._foreign:
            return _unusable("it mixed up the episodes")
        if not checked and self._unquoted >= _MANY:
            return _unusable("none of its evidence quotes occurs in the episode")
        facts = merge_facts(self._unstamped(checked), self._notes)
        used = {fact.subject for fact in facts} | {fact.object for fact in facts if not fact.object_is_literal}
        entities = self._table.kept(used)
        facts = link_facts(facts, entities)
        if not entities and not facts and self._table.invented + self._unquoted >= _MANY:
            return _unusable("nothing in it comes from the episode")
        if self._is_language_changed(facts):
            self._notes.add(WarningCode.LANGUAGE_CHANGED)
        return Extracted(entities=entities, facts=facts, warnings=self._notes.warnings(self._unit.episode.id))

    def _fact(self, raw: RawFact) -> ExtractedFact | None:
        """One fact, or None if it is left out."""
        label = f"{raw.subject} {raw.predicate}"
        try:
            evidence, is_mended = self._evidence(raw)
            predicate = _label(raw.predicate)
            subject, target, is_literal = self._ends(raw)
        except _LeftOut as reason:
            self._notes.add(reason.code, label)
            return None
        if is_mended:
            self._notes.add(WarningCode.EVIDENCE_MENDED, label)
        valid_at, invalid_at = self._dates(raw, label)
        return ExtractedFact(
            subject=subject,
            predicate=predicate,
            object=target,
            object_is_literal=is_literal,
            fact=raw.fact,
            valid_at=valid_at,
            invalid_at=invalid_at,
            evidence=evidence,
        )

    def _evidence(self, raw: RawFact) -> tuple[str, bool]:
        """The passage that bears a fact out, and whether it had to be guessed."""
        exact = evidence = self._source.quote(raw.evidence)
        if exact is None and any(other.quote(raw.evidence) for other in self._others):
            self._foreign += 1
            raise _LeftOut(WarningCode.OTHER_EPISODE)
        if exact is None and self._inexact < _MENDABLE:
            self._inexact += 1
            evidence = self._source.nearest(raw.evidence)
        if evidence is None:
            self._unquoted += 1
            raise _LeftOut(WarningCode.EVIDENCE_MISSING)
        if is_circling(raw.fact):
            raise _LeftOut(WarningCode.REPETITION)
        return evidence, exact is None

    def _ends(self, raw: RawFact) -> tuple[str, str, bool]:
        """What a fact is about: subject, object, and whether the object is a literal."""
        subject, target = self._table.resolve(raw.subject), self._table.resolve(raw.object)
        if subject is None or target is None:
            raise _LeftOut(WarningCode.NAME_IS_PRONOUN)
        linked = self._table.find_object(target)
        if linked is None and self._table.is_copied(target):
            raise _LeftOut(WarningCode.EXAMPLE_COPIED)
        if linked is None and self._table.is_foreign(target):
            raise _LeftOut(WarningCode.OTHER_EPISODE)
        known = self._table.find_subject(subject)
        if known is None:
            raise _LeftOut(WarningCode.FACT_WITHOUT_ENTITY)
        if name_key(known) == name_key(linked or target):
            raise _LeftOut(WarningCode.FACT_ABOUT_ITSELF)
        return known, linked or target, linked is None

    def _dates(self, raw: RawFact, label: str) -> tuple[datetime | None, datetime | None]:
        valid_at, invalid_at = self._date(raw.valid_at, label), self._date(raw.invalid_at, label)
        if valid_at and invalid_at and invalid_at < valid_at:
            # One of the two is wrong, and nothing tells which.
            self._notes.add(WarningCode.DATES_REVERSED, label)
            return None, None
        return valid_at, invalid_at

    def _date(self, text: str, label: str) -> datetime | None:
        try:
            date = self._calendar.read(text)
        except UnreadableDate:
            self._notes.add(WarningCode.DATE_UNREADABLE, label)
            return None
        if date and not self._calendar.is_plausible(date):
            self._notes.add(WarningCode.DATE_IMPLAUSIBLE, label)
            return None
        return date

    def _unstamped(self, facts: Sequence[ExtractedFact]) -> Sequence[ExtractedFact]:
        """The facts without their start if all were given the reference time: a habit of models, not a statement."""
        if len(facts) < _MANY or not all(fact.valid_at and self._calendar.is_stamp(fact.valid_at) for fact in facts):
            return facts
        for fact in facts:
            self._notes.add(WarningCode.DATES_STAMPED, f"{fact.subject} {fact.predicate}")
        return [replace(fact, valid_at=None) for fact in facts]

    def _is_language_changed(self, facts: Sequence[ExtractedFact]) -> bool:
        """Whether an episode in another script was answered in Latin letters; between two in Latin, who can tell."""
        if self._job.language or self._unit.text.isascii():
            return False
        said = _other_script(self._unit.text[:_SCRIPT_SAMPLE])
        answered = _other_script(" ".join(fact.fact for fact in facts)[:_SCRIPT_SAMPLE])
        return said is not None and answered is not None and said >= _OTHER_SCRIPT and answered <= 1 - _OTHER_SCRIPT


def _other_script(text: str) -> float | None:
    """The share of letters that are not Latin; None if there are too few letters to say."""
    letters = len(_LETTER.findall(text))
    return len(_NOT_LATIN.findall(text)) / letters if letters >= _SCRIPT_LETTERS else None


def _label(predicate: str) -> str:
    """A predicate in UPPER_SNAKE, whatever it was written in."""
    plain = _WORD_SEAM.sub("_", unicodedata.normalize("NFKC", predicate))
    label = _NO_LABEL.sub("_", plain).strip("_").upper()[:LABEL_CHARS]
    if not label:
        raise _LeftOut(WarningCode.ITEM_MALFORMED)
    return label


def _unusable(reason: str) -> Unusable:
    return Unusable(kind=FaultKind.MALFORMED, reason=reason)
