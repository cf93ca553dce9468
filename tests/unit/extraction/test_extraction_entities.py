import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from tests.unit.extraction.answers import (
    ACME,
    ANA,
    MESSAGE,
    RUI,
    SAID,
    WORKS,
    answer,
    codes,
    entity,
    fact,
    stated,
)
from workers.extraction import Extracted, WarningCode
from workers.extraction.instructions import EXAMPLE_OUTPUT

Check = Callable[..., Extracted]


@pytest.mark.parametrize(
    ("claimed", "kind"),
    [("person", "person"), ("Person", "person"), (" PERSON ", "person"), ("other", "other"), ("Other", "other")],
)
def test_types_are_matched_however_they_are_written(claimed: str, kind: str, run_check: Check) -> None:
    checked = run_check(SAID, answer([entity("Rui Costa", claimed)], []))

    assert (checked.entities[0].type, codes(checked)) == (kind, [])


@pytest.mark.parametrize("claimed", ["robot", "", "organization"])
def test_a_type_that_the_job_does_not_know_becomes_other(claimed: str, run_check: Check) -> None:
    job = {"entity_types": [{"name": "Team_Mate"}, {"name": "ship"}]}

    checked = run_check(SAID, answer([entity("Acme", claimed), entity("Rui Costa", "team mate")], []), job=job)

    assert [one.type for one in checked.entities] == ["other", "Team_Mate"]
    assert codes(checked) == [WarningCode.TYPE_UNKNOWN]
    assert checked.warnings[0].detail.endswith(": Acme")


def test_an_entity_that_nobody_named_is_left_out_with_its_facts(run_check: Check) -> None:
    checked = run_check(
        SAID,
        answer([ANA, ACME, entity("Bob Smith")], [WORKS, fact("Bob Smith", "WORKS_AT", "Acme", "worked at Acme")]),
        **MESSAGE,
    )

    assert [one.name for one in checked.entities] == ["Ana Lima", "Acme"]
    assert stated(checked) == [("Ana Lima", "WORKS_AT", "Acme", False)]
    assert codes(checked) == [WarningCode.ENTITY_INVENTED, WarningCode.FACT_WITHOUT_ENTITY]


def test_an_entity_of_the_context_counts_only_if_a_fact_needs_it(run_check: Check) -> None:
    job = {"context": [{"id": "c1", "content": "Zoë Marsh and Bo Finch want to leave Oslo."}]}
    entities = [entity("Zoë Marsh"), entity("Bo Finch"), entity("Lisbon", "place")]

    checked = run_check(
        "She has moved to Lisbon.",
        answer(entities, [fact("Zoë Marsh", "LIVES_IN", "Lisbon", "She has moved to Lisbon")]),
        job=job,
    )

    assert [one.name for one in checked.entities] == ["Zoë Marsh", "Lisbon"]
    assert stated(checked) == [("Zoë Marsh", "LIVES_IN", "Lisbon", False)]
    assert checked.warnings == []


def test_a_fact_of_the_context_is_left_out(run_check: Check) -> None:
    job = {"context": [{"id": "c1", "content": "Zoë Marsh wants to leave Oslo."}]}

    checked = run_check(
        "She has moved to Lisbon.",
        answer([entity("Zoë Marsh")], [fact("Zoë Marsh", "WANTS_TO_LEAVE", "Oslo", "wants to leave Oslo")]),
        job=job,
    )

    assert (checked.entities, checked.facts) == ([], [])
    assert codes(checked) == [WarningCode.EVIDENCE_MISSING]


def test_names_in_another_language_are_taken_where_the_job_asks_for_it(run_check: Check) -> None:
    said = "Ich wohne seit 2019 in München bei meiner Schwester Resi."
    found = answer(
        [entity("Ana"), entity("Munich", "place"), entity("Vienna", "place")],
        [fact("Ana", "LIVES_IN", "Munich", "Ich wohne seit 2019 in München")],
    )

    asked = run_check(said, found, speaker="Ana", job={"language": "en"})
    unasked = run_check(said, found, speaker="Ana")

    assert [one.name for one in asked.entities] == ["Ana", "Munich"]
    assert [one.name for one in unasked.entities] == ["Ana"]
    assert codes(unasked) == [WarningCode.ENTITY_INVENTED]
    assert stated(unasked) == [("Ana", "LIVES_IN", "Munich", True)]


@pytest.mark.parametrize("language", [None, "en"])
def test_what_is_copied_from_the_example_is_left_out(language: str | None, run_check: Check) -> None:
    example = json.loads(EXAMPLE_OUTPUT)
    found = answer(
        [ANA, ACME, *example["entities"]],
        [WORKS, *example["facts"], fact("Ana Lima", "KNOWS", "Nublo", "I moved to Lisbon")],
    )

    checked = run_check(SAID, found, **MESSAGE, job={"language": language})

    assert [one.name for one in checked.entities] == ["Ana Lima", "Acme"]
    assert stated(checked) == [("Ana Lima", "WORKS_AT", "Acme", False)]
    assert codes(checked) == [WarningCode.EXAMPLE_COPIED, WarningCode.EVIDENCE_MISSING]


def test_names_of_the_example_are_taken_where_the_episode_has_them(run_check: Check) -> None:
    checked = run_check("Nublo is lovely in May.", answer([entity("Nublo", "place")], []))

    assert [one.name for one in checked.entities] == ["Nublo"]


def test_an_entity_that_a_fact_needs_is_added_if_the_episode_names_it(run_check: Check) -> None:
    checked = run_check(SAID, answer([], [fact("Rui Costa", "PLAYS", "chess", "Rui plays chess"), WORKS]), **MESSAGE)

    assert [(one.name, one.type) for one in checked.entities] == [("Rui Costa", "other"), ("Ana Lima", "person")]
    assert stated(checked) == [("Rui Costa", "PLAYS", "chess", True), ("Ana Lima", "WORKS_AT", "Acme", True)]
    assert codes(checked) == [WarningCode.ENTITY_ADDED]


def test_a_short_form_means_the_only_entity_that_has_it(run_check: Check) -> None:
    checked = run_check(
        SAID, answer([RUI, ANA], [fact("Rui", "KNOWS", "Ana", "worked at Acme with Rui Costa")]), **MESSAGE
    )

    assert stated(checked) == [("Rui Costa", "KNOWS", "Ana Lima", False)]
    assert checked.warnings == []


def test_a_short_form_of_two_entities_means_neither(run_check: Check) -> None:
    checked = run_check(
        "Ana Lima met Ana Reis. Ana was late.",
        answer([entity("Ana Lima"), entity("Ana Reis")], [fact("Ana", "WAS", "late", "Ana was late")]),
    )

    assert stated(checked) == [("Ana", "WAS", "late", True)]
    assert [one.name for one in checked.entities] == ["Ana Lima", "Ana Reis", "Ana"]
    assert codes(checked) == [WarningCode.ENTITY_ADDED]


def test_a_short_form_of_the_speaker_is_the_speaker_unless_the_episode_names_another(run_check: Check) -> None:
    found = answer([entity("Ana")], [fact("Ana", "PLAYS", "chess", "play chess")])

    alone = run_check("I play chess.", found, speaker="Ana Lima")
    beside = run_check("I play chess with Ana.", found, speaker="Ana Lima")

    assert stated(alone) == [("Ana Lima", "PLAYS", "chess", True)]
    assert stated(beside) == [("Ana", "PLAYS", "chess", True)]
    assert (alone.warnings, beside.warnings) == ([], [])


def test_the_speaker_is_an_entity_as_an_object_too(run_check: Check) -> None:
    checked = run_check(SAID, answer([ACME], [fact("Acme", "EMPLOYS", "me", "I have worked at Acme")]), **MESSAGE)

    assert [(one.name, one.type) for one in checked.entities] == [("Acme", "organization"), ("Ana Lima", "person")]
    assert stated(checked) == [("Acme", "EMPLOYS", "Ana Lima", False)]
    assert codes(checked) == [WarningCode.ENTITY_ADDED]


def test_pronouns_become_the_speaker_or_are_left_out(run_check: Check) -> None:
    checked = run_check(
        SAID,
        answer(
            [entity("I"), ACME, entity("she")],
            [
                fact("I", "WORKS_AT", "Acme", "I have worked at Acme"),
                fact("Acme", "EMPLOYS", "user", "I have worked at Acme"),
                fact("she", "PLAYS", "chess", "plays chess"),
                fact("Acme", "EMPLOYS", "them", "worked at Acme"),
            ],
        ),
        **MESSAGE,
    )

    assert [one.name for one in checked.entities] == ["Ana Lima", "Acme"]
    assert stated(checked) == [("Ana Lima", "WORKS_AT", "Acme", False), ("Acme", "EMPLOYS", "Ana Lima", False)]
    assert codes(checked) == [WarningCode.NAME_IS_PRONOUN]


def test_where_nobody_knows_who_speaks_the_speakers_facts_are_left_out(run_check: Check) -> None:
    checked = run_check(SAID, answer([entity("I"), ACME], [{**WORKS, "subject": "I"}]))

    assert [one.name for one in checked.entities] == ["Acme"]
    assert (checked.facts, codes(checked)) == ([], [WarningCode.NAME_IS_PRONOUN])


def test_duplicates_are_merged_in_silence(run_check: Check) -> None:
    checked = run_check(
        SAID,
        answer(
            [entity("acme", "organization"), entity("Acme!", "other", "A company."), ANA, ANA],
            [WORKS, {**WORKS, "predicate": "works at", "valid_at": "2026-01"}, WORKS],
        ),
        **MESSAGE,
    )

    assert [asdict(one) for one in checked.entities] == [
        {"name": "Acme!", "type": "organization", "summary": "A company."},
        {"name": "Ana Lima", "type": "person", "summary": ""},
    ]
    assert stated(checked) == [("Ana Lima", "WORKS_AT", "Acme!", False)]
    assert str(checked.facts[0].valid_at) == "2026-01-01 00:00:00+01:00"
    assert checked.warnings == []
