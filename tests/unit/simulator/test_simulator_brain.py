"""The simulated model: what it understands, in which languages, and what it leaves alone."""

from datetime import UTC, date, datetime

import pytest

from workers.embedded.simulator.brain.dates import find_date
from workers.embedded.simulator.brain.extract import extract
from workers.embedded.simulator.brain.passage import Passage, find_passage

REFERENCE = datetime(2026, 11, 18, 9, tzinfo=UTC)  # a Wednesday
TYPES = ("person", "organization", "place")

Statement = tuple[str, str, str]


def facts(text: str, *, speaker: str | None = "Ana Ruiz", role: str | None = "user") -> list[Statement]:
    passage = Passage(text=text, speaker=speaker, role=role, reference=REFERENCE, types=TYPES)
    found = extract(passage).facts
    assert all(fact["evidence"] in text for fact in found)
    return [(fact["subject"], fact["predicate"], fact["object"]) for fact in found]


UNDERSTOOD: list[tuple[str, list[Statement]]] = [
    ("I live in Berlin.", [("Ana Ruiz", "LIVES_IN", "Berlin")]),
    ("I'm based in San Francisco now.", [("Ana Ruiz", "LIVES_IN", "San Francisco")]),
    ("We moved to Lisbon.", [("Ana Ruiz", "LIVES_IN", "Lisbon")]),
    ("I work at Siemens.", [("Ana Ruiz", "WORKS_AT", "Siemens")]),
    ("Sam Lee works for the Bank of America.", []),
    ("Sam Lee works for Bank of America.", [("Sam Lee", "WORKS_AT", "Bank of America")]),
    ("John Smith is the CEO of Acme Corp.", [("John Smith", "WORKS_AT", "Acme Corp")]),
    ("My favourite colour is teal.", [("Ana Ruiz", "FAVORITE_COLOUR", "teal")]),
    ("Tom's favorite film is Heat.", [("Tom", "FAVORITE_FILM", "Heat")]),
    (
        "I love strong coffee, and I hate olives.",
        [("Ana Ruiz", "LIKES", "strong coffee"), ("Ana Ruiz", "DISLIKES", "olives")],
    ),
    ("I\u2019m allergic to peanuts.", [("Ana Ruiz", "ALLERGIC_TO", "peanuts")]),
    ("My sister's name is Clara.", [("Ana Ruiz", "HAS_SISTER", "Clara")]),
    ("My boss Tom Becker lives in Rome.", [("Tom Becker", "LIVES_IN", "Rome")]),
    ("My boss lives in Rome.", [("Ana Ruiz's boss", "LIVES_IN", "Rome")]),
    ("I was born on 3 May 1990 in Porto.", [("Ana Ruiz", "BORN_IN", "Porto"), ("Ana Ruiz", "BORN_ON", "3 May 1990")]),
    ("Maria Gonzalez married Tom Becker.", [("Maria Gonzalez", "MARRIED_TO", "Tom Becker")]),
    ("I speak German, French and Dutch.", [("Ana Ruiz", "SPEAKS", "German, French and Dutch")]),
    (
        "Ich wohne in Hamburg und arbeite bei Bosch.",
        [("Ana Ruiz", "LIVES_IN", "Hamburg"), ("Ana Ruiz", "WORKS_AT", "Bosch")],
    ),
    ("Meine Lieblingsfarbe ist Blau.", [("Ana Ruiz", "FAVORITE", "Blau")]),
    ("Vivo en Sevilla.", [("Ana Ruiz", "LIVES_IN", "Sevilla")]),
    ("Luis trabaja en Telefónica.", [("Luis", "WORKS_AT", "Telefónica")]),
    ("J'habite à Lyon.", [("Ana Ruiz", "LIVES_IN", "Lyon")]),
    ("Zoé travaille chez Renault.", [("Zoé", "WORKS_AT", "Renault")]),
    ("私は東京に住んでいます。", [("Ana Ruiz", "LIVES_IN", "東京")]),
    ("田中さんは卵アレルギーです。", [("田中さん", "ALLERGIC_TO", "卵")]),
]


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD, ids=[text for text, _ in UNDERSTOOD])
def test_statements_are_understood(text: str, expected: list[Statement]) -> None:
    assert facts(text) == expected


LEFT_ALONE = [
    "Hello! How are you?",
    "Do you live in Rome?",
    "I don't work at Siemens.",
    "Maybe I live in Berlin.",
    "If I lived in Rome, I would work at Fiat.",
    "Ich wohne nicht in Hamburg.",
    "She lives in Rome.",
    "",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_questions_denials_and_suppositions_are_no_facts(text: str) -> None:
    assert facts(text) == []


def test_a_denial_in_one_clause_leaves_the_other_alone() -> None:
    assert facts("I left Quarry Bank last Friday and did not join Kelp Labs.") == [
        ("Ana Ruiz", "WORKS_AT", "Quarry Bank")
    ]


def test_what_an_assistant_says_of_itself_is_not_remembered() -> None:
    assert facts("I live in Berlin.", role="assistant") == []


def test_without_a_speaker_there_is_nobody_to_say_i() -> None:
    assert facts("I live in Berlin. Tom lives in Rome.", speaker=None) == [("Tom", "LIVES_IN", "Rome")]


def test_a_move_ends_the_older_fact() -> None:
    passage = Passage(text="I moved from Paris to Lisbon last month.", speaker="Ana", reference=REFERENCE)

    assert [(fact["object"], fact["valid_at"], fact["invalid_at"]) for fact in extract(passage).facts] == [
        ("Lisbon", "2026-10", ""),
        ("Paris", "", "2026-10"),
    ]


def test_names_without_a_fact_are_entities_with_a_type_guessed_from_what_stands_before() -> None:
    text = "Yesterday we met Priya at Globex Inc in Leeds. Sam Lee called."
    found = extract(Passage(text=text, speaker="Ana", types=TYPES))

    assert {entity["name"]: entity["type"] for entity in found.entities} == {
        "Ana": "person",
        "Priya": "person",
        "Globex Inc": "organization",
        "Leeds": "place",
        "Sam Lee": "person",
    }


def test_types_fall_back_to_other() -> None:
    found = extract(Passage(text="I live in Berlin.", speaker="Ana", types=("Vessel",)))

    assert {entity["type"] for entity in found.entities} == {"other"}


def test_a_prompt_without_a_frame_is_read_whole() -> None:
    assert find_passage("Tom lives in Rome.") == Passage(text="Tom lives in Rome.")


def test_other_frames_are_found_too() -> None:
    assert find_passage('Read this.\n<document id="1">\nTom lives in Rome.\n</document>\nThanks.').text == (
        "Tom lives in Rome."
    )


DATES: list[tuple[str, str | None]] = [
    ("on 2026-05-03", "2026-05-03"),
    ("on 3 May 2026", "2026-05-03"),
    ("on the 3rd of May, 2026", "2026-05-03"),
    ("on May 3rd, 2026", "2026-05-03"),
    ("in May 2026", "2026-05"),
    ("since 2019", "2019"),
    ("on 3 May", "2026-05-03"),
    ("on 3 December", "2025-12-03"),
    ("yesterday", "2026-11-17"),
    ("the day before yesterday", "2026-11-16"),
    ("today", "2026-11-18"),
    ("last week", "2026-11-11"),
    ("last month", "2026-10"),
    ("last year", "2025"),
    ("last Friday", "2026-11-13"),
    ("last Wednesday", "2026-11-11"),
    ("two weeks ago", "2026-11-04"),
    ("three months ago", "2026-08"),
    ("10 days ago", "2026-11-08"),
    ("a year ago", "2025"),
    ("gestern", "2026-11-17"),
    ("Ich wohne hier", None),
    ("J'ai déménagé hier", "2026-11-17"),
    ("el lunes pasado", "2026-11-16"),
    ("le 3 mai 2026", "2026-05-03"),
    ("am 3. Mai 2026", "2026-05-03"),
    ("2026年5月3日に", "2026-05-03"),
    ("先月", "2026-10"),
    ("on 31 February 2026", None),
    ("I may go", None),
    ("version 2026", None),
]


@pytest.mark.parametrize(("sentence", "expected"), DATES, ids=[sentence for sentence, _ in DATES])
def test_dates_are_resolved_in_the_granularity_in_which_they_are_known(sentence: str, expected: str | None) -> None:
    assert find_date(sentence, REFERENCE.date()) == expected


def test_relative_dates_need_a_reference() -> None:
    assert find_date("last month", None) is None
    assert find_date("on 3 May", None) is None
    assert find_date("on 3 May 2026", None) == date(2026, 5, 3).isoformat()
