from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.contract import EpisodeResult, ExtractionJob, Failure, FailureCode, ResultWarning
from workers.extraction import Extracted, ExtractedEntity, ExtractedFact, Unit, assemble, check, plan

LONG = "Nothing much has happened on that day, they say. " * 700


def job_of(*contents: str, **rest: Any) -> ExtractionJob:
    episodes = [{"id": f"e{number}", "content": content} for number, content in enumerate(contents, start=1)]
    return ExtractionJob.model_validate({"project": "acme", "episodes": episodes, **rest})


def units_of(job: ExtractionJob) -> list[Unit]:
    return plan(job, context_tokens=100_000, max_output=8_000)


def entity(name: str, kind: str = "person", summary: str = "") -> ExtractedEntity:
    return ExtractedEntity(name=name, type=kind, summary=summary)


def fact(subject: str, predicate: str, target: str, *, literal: bool = True, **more: Any) -> ExtractedFact:
    return ExtractedFact(
        subject=subject,
        predicate=predicate,
        object=target,
        object_is_literal=literal,
        **{"fact": "A sentence.", "evidence": "A quote.", **more},
    )


def failure(message: str = "The model timed out.") -> Failure:
    return Failure(code=FailureCode.PROVIDER_TIMEOUT, message=message)


def warning(code: str, episode_id: str) -> ResultWarning:
    return ResultWarning(code=code, detail="…", episode_id=episode_id)


def merged(*parts: Extracted) -> tuple[EpisodeResult, list[ResultWarning]]:
    """The parts as chunks of one episode."""
    job = job_of(LONG)
    units = units_of(job)[: len(parts)]
    assert len(units) == len(parts)
    (result,), warnings = assemble(job, units, dict(enumerate(parts, start=1)), {})
    return result, warnings


def test_results_come_in_the_jobs_order_with_ids_and_sources() -> None:
    job = job_of("One.", "Two.", "Three.")
    extracted = {
        3: Extracted(entities=[entity("Ana Lima")], facts=[fact("Ana Lima", "AGE", "34")]),
        1: Extracted(entities=[entity("Rui")]),
        2: Extracted(),
    }

    results, warnings = assemble(job, units_of(job)[::-1], extracted, {})

    assert [result.episode_id for result in results] == ["e1", "e2", "e3"]
    assert [[one.name for one in result.entities] for result in results] == [["Rui"], [], ["Ana Lima"]]
    assert results[2].facts[0].episode_id == "e3"
    assert results[1] == EpisodeResult(episode_id="e2")
    assert warnings == []


def test_ids_stay_the_same_and_differ_between_projects_and_types() -> None:
    def ids(project: str, name: str, kind: str = "person", predicate: str = "AGE") -> tuple[str, str]:
        job = job_of("One.", project=project)
        one = Extracted(entities=[entity(name, kind)], facts=[fact(name, predicate, "34")])
        ((result,), _) = assemble(job, units_of(job), {1: one}, {})
        return result.entities[0].id, result.facts[0].id

    # Frozen: pipelines store these.
    assert ids("acme", "Ana Lima") == ("ent_9d5d7eb078292da618cd", "fact_cd459a38216cabc29106")
    assert ids("acme", "ANA  LIMA") == ids("acme", "Ana Lima")
    assert ids("acme", "Ana Lima", "other")[0] != ids("acme", "Ana Lima")[0]
    assert ids("acme", "Ana Lima", "other")[1] == ids("acme", "Ana Lima")[1]
    assert ids("acme", "Ana Lima", predicate="HEIGHT")[1] != ids("acme", "Ana Lima")[1]
    assert not set(ids("other", "Ana Lima")) & set(ids("acme", "Ana Lima"))


def test_chunks_of_an_episode_become_one() -> None:
    result, warnings = merged(
        Extracted(
            entities=[entity("Ana Lima", summary="Short."), entity("acme inc", "organization")],
            facts=[fact("Ana Lima", "WORKS_AT", "acme inc", literal=False, evidence="first", fact="First.")],
        ),
        Extracted(
            entities=[
                entity("Acme, Inc.", "organization"),
                entity("ana lima", summary="A longer summary."),
                entity("Rui"),
            ],
            facts=[
                fact("ana lima", "WORKS_AT", "Acme, Inc.", literal=False, evidence="second", fact="Second."),
                fact("Rui", "KNOWS", "ana lima", literal=False),
            ],
        ),
    )

    assert [(one.name, one.summary) for one in result.entities] == [
        ("Ana Lima", "A longer summary."),
        ("Acme, Inc.", ""),
        ("Rui", ""),
    ]
    assert [(one.subject, one.predicate, one.object, one.fact, one.evidence) for one in result.facts] == [
        ("Ana Lima", "WORKS_AT", "Acme, Inc.", "First.", "first"),
        ("Rui", "KNOWS", "Ana Lima", "A sentence.", "A quote."),
    ]
    assert warnings == []


def test_a_literal_of_one_chunk_may_be_an_entity_of_another() -> None:
    result, _ = merged(
        Extracted(entities=[entity("Ana")], facts=[fact("Ana", "LIVES_IN", "lisbon")]),
        Extracted(entities=[entity("Lisbon", "place")]),
    )

    assert (result.facts[0].object, result.facts[0].object_is_literal) == ("Lisbon", False)


@pytest.mark.parametrize("kinds", [("other", "person"), ("person", "other")])
def test_an_entity_of_type_other_joins_its_typed_self(kinds: tuple[str, str]) -> None:
    result, _ = merged(*(Extracted(entities=[entity("Ana", kind, kind)]) for kind in kinds))

    assert [(one.name, one.type, one.summary) for one in result.entities] == [("Ana", "person", "person")]


def test_one_name_of_two_types_is_two_entities() -> None:
    result, _ = merged(
        Extracted(entities=[entity("Apple", "organization")]),
        Extracted(entities=[entity("Apple", "product"), entity("Apple", "other", "Said once more.")]),
    )

    assert [(one.type, one.summary) for one in result.entities] == [
        ("organization", "Said once more."),
        ("product", ""),
    ]
    assert len({one.id for one in result.entities}) == 2


def test_a_fact_about_a_name_of_two_types_means_the_first() -> None:
    result, _ = merged(
        Extracted(entities=[entity("Apple", "organization"), entity("APPLE", "product")]),
        Extracted(entities=[entity("Ana")], facts=[fact("apple", "EMPLOYS", "ana")]),
    )

    assert (result.facts[0].subject, result.facts[0].object) == ("Apple", "Ana")


def test_chunks_count_in_their_order_however_they_are_handed_over() -> None:
    job = job_of(LONG)
    units = units_of(job)
    extracted = {unit.index: Extracted(entities=[entity(f"Name {unit.index}")]) for unit in units}

    ((result,), _) = assemble(job, units[::-1], extracted, {})

    assert [one.name for one in result.entities] == [f"Name {unit.index}" for unit in units]


MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))


@pytest.mark.parametrize(
    ("one", "other", "dates", "conflict"),
    [
        ({}, {"valid_at": MAY}, (MAY, None), False),
        ({"valid_at": MAY}, {}, (MAY, None), False),
        ({"valid_at": MAY}, {"valid_at": MAY, "invalid_at": JUNE}, (MAY, JUNE), False),
        ({"valid_at": MAY}, {"valid_at": JUNE, "invalid_at": JULY}, (MAY, None), True),
        ({"invalid_at": JUNE}, {"invalid_at": JULY}, (None, JUNE), True),
        ({"valid_at": JULY}, {"invalid_at": JUNE}, (JULY, None), False),
    ],
)
def test_a_fact_stated_twice_takes_the_dates_that_agree(
    one: dict[str, Any], other: dict[str, Any], dates: tuple[Any, Any], *, conflict: bool
) -> None:
    facts = [fact("Ana", "LIVES_IN", "Rome", **one), fact("Ana", "LIVES_IN", "Rome", **other)]

    result, warnings = merged(*(Extracted(entities=[entity("Ana")], facts=[stated]) for stated in facts))

    assert [(stated.valid_at, stated.invalid_at) for stated in result.facts] == [dates]
    assert [(said.code, said.episode_id) for said in warnings] == [("dates_conflict", "e1")] * conflict


def test_an_entity_lists_all_episodes_that_mention_it() -> None:
    job = job_of("One.", "Two.", "Three.")
    extracted = {
        1: Extracted(entities=[entity("Ana"), entity("Rui")]),
        2: Extracted(entities=[entity("Zoë")]),
        3: Extracted(entities=[entity("ANA")]),
    }

    results, _ = assemble(job, units_of(job), extracted, {})

    mentions = [[(one.name, one.episode_ids) for one in result.entities] for result in results]
    assert mentions == [[("Ana", ["e1", "e3"]), ("Rui", ["e1"])], [("Zoë", ["e2"])], [("ANA", ["e1", "e3"])]]


def test_an_episode_of_which_a_part_failed_is_a_failure_and_nothing_else() -> None:
    job = job_of("One.", LONG, "Three.")
    units = units_of(job)
    parts = [unit.index for unit in units if unit.episode.id == "e2"]
    extracted = {
        unit.index: Extracted(entities=[entity("Ana")], warnings=[warning("type_unknown", unit.episode.id)])
        for unit in units
        if unit.index != parts[1]
    }
    failures = {parts[1]: failure("First."), parts[-1]: failure("Last.")}

    results, warnings = assemble(job, units, extracted, failures)

    assert results[1] == EpisodeResult(
        episode_id="e2", failure=failure("First.").model_copy(update={"episode_id": "e2"})
    )
    assert [result.failure is None for result in results] == [True, False, True]
    assert [one.episode_ids for one in results[0].entities] == [["e1", "e3"]]
    assert [said.episode_id for said in warnings] == ["e1", "e3"]


def test_warnings_of_all_parts_are_kept() -> None:
    _, warnings = merged(
        Extracted(warnings=[warning("type_unknown", "e1")]), Extracted(warnings=[warning("entity_added", "e1")])
    )

    assert [said.code for said in warnings] == ["type_unknown", "entity_added"]


def test_context_that_was_left_out_is_warned_of_once() -> None:
    job = job_of("One.", "Two.", context=[{"id": "c1", "content": "Filler words. " * 2_000}])

    _, warnings = assemble(job, units_of(job), {1: Extracted(), 2: Extracted()}, {})

    assert [(said.code, said.episode_id) for said in warnings] == [("context_cut", None)]


def test_a_unit_without_output_or_failure_is_a_mistake_of_the_caller() -> None:
    job = job_of("One.", "Two.")

    with pytest.raises(ValueError, match=r"units \[2\] have neither output nor failure"):
        assemble(job, units_of(job), {1: Extracted()}, {})


def test_a_long_episode_goes_the_whole_way(run_check: Callable[..., Extracted]) -> None:
    job = job_of(f"Ana Lima lives in Rome. {LONG} Ana Lima has worked at Acme since 2019.")
    units = units_of(job)
    answers = {
        1: '{"entities":[{"name":"Ana Lima","type":"person","summary":""},{"name":"Rome","type":"place","summary":""}],'
        '"facts":[{"evidence":"Ana Lima lives in Rome","subject":"Ana Lima","predicate":"LIVES_IN","object":"Rome",'
        '"fact":"Ana Lima lives in Rome.","valid_at":"","invalid_at":""}]}',
        len(units): '{"entities":[{"name":"Ana Lima","type":"person","summary":"At Acme."}],'
        '"facts":[{"evidence":"has worked at Acme since 2019","subject":"Ana Lima","predicate":"WORKS_AT",'
        '"object":"Acme","fact":"Ana Lima works at Acme.","valid_at":"2019","invalid_at":""}]}',
    }
    extracted = {}
    for unit in units:
        checked = check(unit, job, answers.get(unit.index, '{"entities":[],"facts":[]}'))
        assert isinstance(checked, Extracted)
        extracted[unit.index] = Extracted.model_validate_json(checked.model_dump_json())

    (result,), warnings = assemble(job, units, extracted, {})

    assert len(units) > 1
    assert [(one.name, one.summary) for one in result.entities] == [("Ana Lima", "At Acme."), ("Rome", "")]
    assert [(one.predicate, one.object, str(one.valid_at)) for one in result.facts] == [
        ("LIVES_IN", "Rome", "None"),
        ("WORKS_AT", "Acme", "2019-01-01 00:00:00+00:00"),
    ]
    assert warnings == []
