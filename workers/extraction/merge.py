"""One from many: duplicates within an answer, chunks of an episode, episodes of a job."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.contract import Entity, EpisodeResult, ExtractionJob, Fact, Failure, ResultWarning
from workers.extraction.instructions import OTHER_TYPE
from workers.extraction.names import name_key, stable_id
from workers.extraction.notes import Notes, WarningCode
from workers.extraction.prompt import build_preface
from workers.extraction.results import Extracted, ExtractedEntity, ExtractedFact, Unit


def merge_entities(entities: Iterable[ExtractedEntity]) -> list[ExtractedEntity]:
    """Each name and type once, in the order of their first mention; the longest spelling and summary win.

    An entity of type `other` joins one of the same name whose type is known.
    """
    merged: dict[tuple[str, str], ExtractedEntity] = {}
    for entity in entities:
        key = (name_key(entity.name), entity.type)
        merged[key] = _join(merged[key], entity) if key in merged else entity
    for name, kind in [key for key in merged if key[1] == OTHER_TYPE]:
        typed = next((key for key in merged if key[0] == name and key[1] != OTHER_TYPE), None)
        if typed:
            merged[typed] = _join(merged[typed], merged.pop((name, kind)))
    return list(merged.values())


def merge_facts(facts: Iterable[ExtractedFact], notes: Notes) -> list[ExtractedFact]:
    """Each subject, predicate and object once, in the order of their first mention.

    The first wording and its evidence stay; a date that it lacks is taken from the others.
    """
    merged: dict[tuple[str, str, str], ExtractedFact] = {}
    for fact in facts:
        key = _fact_key(fact)
        merged[key] = _join_dates(merged[key], fact, notes) if key in merged else fact
    return list(merged.values())


def link_facts(facts: Iterable[ExtractedFact], entities: Sequence[ExtractedEntity]) -> list[ExtractedFact]:
    """The same facts in the spelling of the merged entities; an object that is one of them is no literal."""
    # Reversed, so that of two types of one name the first counts.
    names = {name_key(entity.name): entity.name for entity in reversed(entities)}
    return [_linked(fact, names) for fact in facts]


def assemble(
    job: ExtractionJob, units: Sequence[Unit], extracted: Mapping[int, Extracted], failures: Mapping[int, Failure]
) -> tuple[list[EpisodeResult], list[ResultWarning]]:
    """The results of all episodes, in the job's order, and all warnings.

    An episode of which any chunk failed carries that failure and nothing else: half of one would pass for the whole.
    An entity lists all episodes of the job that mention it.

    Args:
        job: what was asked for.
        units: what `plan` made of it.
        extracted: outputs by the index of their unit.
        failures: failures by the index of their unit; they prevail over outputs.

    Raises:
        ValueError: a unit has neither output nor failure.
    """
    missing = [unit.index for unit in units if unit.index not in extracted and unit.index not in failures]
    if missing:
        raise ValueError(f"units {missing} have neither output nor failure; assemble once all have ended")
    merged: dict[str, _Merged | Failure] = {}
    warnings: list[ResultWarning] = []
    job_notes = Notes()
    if build_preface(job).context_cut:
        job_notes.add(WarningCode.CONTEXT_CUT)
    for episode in job.episodes:
        indexes = sorted(unit.index for unit in units if unit.episode.id == episode.id)
        failure = next((failures[index] for index in indexes if index in failures), None)
        if failure:
            merged[episode.id] = failure.model_copy(update={"episode_id": episode.id})
            continue
        parts = [extracted[index] for index in indexes]
        notes = Notes()
        merged[episode.id] = _merged(job.project, parts, notes)
        warnings += [warning for part in parts for warning in part.warnings]
        warnings += notes.warnings(episode.id)
    mentions = _mentions(merged)
    results = [
        EpisodeResult(episode_id=episode_id, failure=one)
        if isinstance(one, Failure)
        else _episode_result(job.project, episode_id, one, mentions)
        for episode_id, one in merged.items()
    ]
    return results, [*job_notes.warnings(None), *warnings]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """What an episode yielded, from all its chunks."""

    #: Id → entity.
    entities: Mapping[str, ExtractedEntity]
    facts: Sequence[ExtractedFact]


def _merged(project: str, parts: Sequence[Extracted], notes: Notes) -> _Merged:
    entities = merge_entities(entity for part in parts for entity in part.entities)
    facts = merge_facts(link_facts([fact for part in parts for fact in part.facts], entities), notes)
    return _Merged(
        entities={
            stable_id("ent", project, name_key(entity.type), name_key(entity.name)): entity for entity in entities
        },
        facts=facts,
    )


def _mentions(merged: Mapping[str, _Merged | Failure]) -> Mapping[str, list[str]]:
    """Id of each entity → the episodes that mention it, in their order."""
    mentions: dict[str, list[str]] = {}
    for episode_id, one in merged.items():
        for entity_id in () if isinstance(one, Failure) else one.entities:
            mentions.setdefault(entity_id, []).append(episode_id)
    return mentions


def _episode_result(
    project: str, episode_id: str, merged: _Merged, mentions: Mapping[str, Sequence[str]]
) -> EpisodeResult:
    return EpisodeResult(
        episode_id=episode_id,
        entities=[
            Entity(
                id=entity_id,
                name=entity.name,
                type=entity.type,
                summary=entity.summary,
                episode_ids=[*mentions[entity_id]],
            )
            for entity_id, entity in merged.entities.items()
        ],
        facts=[
            Fact(
                id=stable_id("fact", project, *_fact_key(fact)),
                subject=fact.subject,
                predicate=fact.predicate,
                object=fact.object,
                object_is_literal=fact.object_is_literal,
                fact=fact.fact,
                valid_at=fact.valid_at,
                invalid_at=fact.invalid_at,
                evidence=fact.evidence,
                episode_id=episode_id,
            )
            for fact in merged.facts
        ],
    )


def _linked(fact: ExtractedFact, names: Mapping[str, str]) -> ExtractedFact:
    known = names.get(name_key(fact.object))
    subject, object_ = names.get(name_key(fact.subject), fact.subject), known or fact.object
    is_literal = known is None
    if (subject, object_, is_literal) == (fact.subject, fact.object, fact.object_is_literal):
        return fact
    return replace(fact, subject=subject, object=object_, object_is_literal=is_literal)


def _fact_key(fact: ExtractedFact) -> tuple[str, str, str]:
    return name_key(fact.subject), fact.predicate, name_key(fact.object)


def _join(one: ExtractedEntity, other: ExtractedEntity) -> ExtractedEntity:
    name = max(one.name, other.name, key=len)
    summary = max(one.summary, other.summary, key=len)
    return replace(one, name=name, summary=summary)


def _join_dates(one: ExtractedFact, other: ExtractedFact, notes: Notes) -> ExtractedFact:
    dates = [(one.valid_at, other.valid_at), (one.invalid_at, other.invalid_at)]
    if any(first and second and first != second for first, second in dates):
        notes.add(WarningCode.DATES_CONFLICT, f"{one.subject} {one.predicate}")
        return one
    valid_at, invalid_at = (first or second for first, second in dates)
    if valid_at and invalid_at and invalid_at < valid_at:
        return one
    return replace(one, valid_at=valid_at, invalid_at=invalid_at)
