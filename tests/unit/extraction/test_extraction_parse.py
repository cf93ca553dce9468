import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.extraction import Unusable
from workers.extraction.loops import is_circling, is_repeating
from workers.extraction.notes import Notes, WarningCode
from workers.extraction.parse import MAX_ITEMS, RawAnswer, parse_answer
from workers.providers.base import FaultKind

ENTITY = {"name": "Ana", "type": "person", "summary": "Lives in Rome."}
FACT = {
    "evidence": "I live in Rome",
    "subject": "Ana",
    "predicate": "LIVES_IN",
    "object": "Rome",
    "fact": "Ana lives in Rome.",
    "valid_at": "",
    "invalid_at": "",
}
GOOD = json.dumps({"entities": [ENTITY], "facts": [FACT]})


def parsed(text: str) -> tuple[RawAnswer, dict[str, str]]:
    notes = Notes()
    answer = parse_answer(text, notes)
    assert isinstance(answer, RawAnswer), answer
    return answer, {warning.code: warning.detail for warning in notes.warnings("e1")}


def unusable(text: str) -> Unusable:
    answer = parse_answer(text, Notes())
    assert isinstance(answer, Unusable)
    return answer


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\ufeff{GOOD}",
        f" \r\n\t{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here is what you asked for:\n```json\n{GOOD}\n```\nAnything else?",
        json.dumps({"facts": [FACT], "entities": [ENTITY]}),
        json.dumps({"entities": [{**ENTITY, "id": 7}], "facts": [{**FACT, "x": {"y": []}}], "notes": "none"}),
    ],
)
def test_wrappings_and_unknown_keys_are_taken_off(text: str) -> None:
    answer, warnings = parsed(text)

    assert [entity.model_dump() for entity in answer.entities] == [ENTITY]
    assert [fact.model_dump() for fact in answer.facts] == [FACT]
    assert warnings == {}


@pytest.mark.parametrize("text", ["", "  \n", "\ufeff", "\u200b"])
def test_an_empty_answer_is_empty(text: str) -> None:
    assert unusable(text) == Unusable(kind=FaultKind.EMPTY, reason="it was empty")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I am sorry, I cannot do that.", "not one complete JSON object"),
        (GOOD[:-20], "not one complete JSON object"),
        (GOOD + GOOD, "not one complete JSON object"),
        ("[" + GOOD + "," + GOOD + "]", "not one complete JSON object"),
        ("null", "not one complete JSON object"),
        ('"text"', "not one complete JSON object"),
        ('{"entities": NaN, "facts": []}', "not one complete JSON object"),
        ('{"entities": [], "facts": [], "x": -Infinity}', "not one complete JSON object"),
        ("{'entities': [], 'facts': []}", "not one complete JSON object"),
        ("[" * 100_000, "not one complete JSON object"),
        ('{"entities":' * 50_000, "not one complete JSON object"),
        ("{}", "the lists 'entities' and 'facts'"),
        ('{"memories": []}', "the lists 'entities' and 'facts'"),
        ('{"entities": {}, "facts": []}', "the lists 'entities' and 'facts'"),
        ('{"entities": [], "facts": "none"}', "the lists 'entities' and 'facts'"),
        ('{"entities": ["Ana"], "facts": [[]]}', "no element had all required fields"),
        ('{"entities": [{"type": "person"}], "facts": []}', "no element had all required fields"),
        (json.dumps({"entities": [ENTITY] * 12, "facts": []}), "repeated the same elements"),
        (json.dumps({"entities": [ENTITY], "facts": [FACT] * 60}), "repeated the same elements"),
        (f"{' ' * 10}{{{'x' * 1_000_001}", "far too long"),
    ],
    ids=lambda value: value[:30],
)
def test_what_cannot_be_mended_is_malformed_and_says_why_without_quoting(text: str, reason: str) -> None:
    answer = unusable(text)

    assert answer.kind is FaultKind.MALFORMED
    assert reason in answer.reason
    assert "Ana" not in answer.reason


@pytest.mark.parametrize("text", ['{"entities": [], "facts": []}', '{"facts": []}', '{"entities": []}'])
def test_nothing_found_is_a_good_answer(text: str) -> None:
    assert parsed(text) == (RawAnswer(entities=[], facts=[]), {})


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"object": 42}, "object", "42"),
        ({"object": 1.50}, "object", "1.5"),
        ({"object": True}, "object", "true"),
        ({"valid_at": None}, "valid_at", ""),
        ({"evidence": None}, "evidence", ""),
        ({"subject": "  Ana \n Lima\t"}, "subject", "Ana Lima"),
        ({"subject": "A\u0000na"}, "subject", "Ana"),
        ({"subject": "A\ud800na"}, "subject", "Ana"),
        ({"subject": "Ana\u0085Lima"}, "subject", "Ana Lima"),
        ({"fact": "हूँ\u200d!"}, "fact", "हूँ\u200d!"),
    ],
)
def test_values_are_made_text_on_one_line(changes: dict[str, Any], field: str, value: str) -> None:
    answer, _ = parsed(json.dumps({"entities": [], "facts": [{**FACT, **changes}]}))

    assert getattr(answer.facts[0], field) == value


def test_numbers_are_kept_as_they_are_written() -> None:
    text = GOOD.replace('"Rome"', "1.50").replace('"Ana", "predicate"', "1" * 100 + ', "predicate"')

    answer, _ = parsed(text)

    assert answer.facts[0].object == "1.50"
    assert answer.facts[0].subject == "1" * 100


@pytest.mark.parametrize("field", ["valid_at", "invalid_at", "evidence"])
def test_fields_that_may_be_empty_may_be_missing(field: str) -> None:
    fact = {name: value for name, value in FACT.items() if name != field}

    answer, warnings = parsed(json.dumps({"entities": [], "facts": [fact]}))

    assert getattr(answer.facts[0], field) == ""
    assert warnings == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": " "},
        {"subject": None},
        {"subject": "x" * 129},
        {"predicate": ""},
        {"predicate": "x" * 65},
        {"object": ""},
        {"object": "x" * 257},
        {"object": ["Rome"]},
        {"object": {"name": "Rome"}},
        {"fact": ""},
        {"fact": "x" * 1_001},
        {"valid_at": ["2024"]},
    ],
)
def test_one_malformed_element_does_not_spoil_the_others(changes: dict[str, Any]) -> None:
    answer, warnings = parsed(json.dumps({"entities": [ENTITY], "facts": [{**FACT, **changes}, FACT, FACT]}))

    assert len(answer.facts) == 2
    assert warnings == {WarningCode.ITEM_MALFORMED: "elements left out, a field was missing, empty or too long"}


def test_more_than_one_call_may_yield_is_left_out() -> None:
    entities = [{**ENTITY, "name": f"Name {number}"} for number in range(MAX_ITEMS + 5)]

    answer, warnings = parsed(json.dumps({"entities": entities, "facts": []}))

    assert len(answer.entities) == MAX_ITEMS
    assert warnings == {WarningCode.TOO_MANY_ITEMS: "elements left out, more were returned than one call may yield (5)"}


@pytest.mark.parametrize(
    ("text", "circling"),
    [
        ("and then he went " * 5, True),
        ("A good start, but no no no no no no no no no no no no no no no no no no no no no no no", True),
        ("ha ha ha ha ha", False),
        ("Ana moved from Rome to Paris, from Paris to Oslo, from Oslo to Rome and from Rome to Bern.", False),
        ("-" * 50, False),
        ("", False),
    ],
)
def test_a_text_that_goes_round_in_circles_is_recognised(text: str, *, circling: bool) -> None:
    assert is_circling(text) is circling


PIECES = st.text(alphabet="ab ", min_size=4, max_size=60)


@given(before=st.text(alphabet="xyz ", max_size=80), piece=PIECES, after=st.text(alphabet="xyz ", max_size=80))
def test_a_circle_is_recognised_wherever_it_begins(before: str, piece: str, after: str) -> None:
    text = before + piece * 5 + after

    assert is_circling(text) is (len(text) >= 60)


@pytest.mark.parametrize(
    ("items", "repeating"),
    [
        ([1] * 11, False),
        ([1] * 12, True),
        ([1, 2, 3] * 4, True),
        ([1, 2, 3, 4] * 3, False),
        (list(range(200)), False),
        ([], False),
    ],
)
def test_a_list_in_a_loop_is_recognised(items: list[int], *, repeating: bool) -> None:
    assert is_repeating(items) is repeating


def test_many_happenings_make_one_warning_that_names_a_few() -> None:
    notes = Notes()
    for name in ["Ana", "Rui", "", "Zoë", "Bo", "x" * 100]:
        notes.add(WarningCode.ENTITY_INVENTED, name)
    notes.add(WarningCode.CONTEXT_CUT)
    notes.add(WarningCode.TYPE_UNKNOWN, "y" * 100)

    warnings = notes.warnings("e1")

    assert [(warning.code, warning.detail) for warning in warnings] == [
        ("entity_invented", "entities left out, the episode does not name them (6): Ana, Rui, Zoë and 2 more"),
        ("context_cut", "the oldest context was left out, only the newest is sent"),
        ("type_unknown", f"entities given the type 'other', theirs was not among the job's types: {'y' * 39}…"),
    ]
    assert {warning.episode_id for warning in warnings} == {"e1"}


def test_every_warning_has_its_words() -> None:
    notes = Notes()
    for code in WarningCode:
        notes.add(code)

    assert len(notes.warnings(None)) == len(WarningCode)
