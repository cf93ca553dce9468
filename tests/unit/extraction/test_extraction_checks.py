# ruff: noqa: RUF001  # letters of other scripts are what is tested
import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from tasks.contract import ExtractionJob
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
from workers.extraction import Extracted, Unit, Unusable, WarningCode, check
from workers.extraction.instructions import EXAMPLE_OUTPUT
from workers.providers.base import FaultKind

Check = Callable[..., Extracted]
MakeUnit = Callable[..., tuple[Unit, ExtractionJob]]


def test_a_sound_answer_is_taken_as_it_is(run_check: Check) -> None:
    checked = run_check(
        SAID,
        answer(
            [ANA, RUI, ACME, entity("Lisbon", "place", "Where Ana lives.")],
            [
                WORKS,
                fact("Ana Lima", "LIVES_IN", "Lisbon", "I moved to Lisbon last May", valid_at="2025-05"),
                fact("Rui Costa", "AGE", "34", "is 34"),
                fact("Ana Lima", "LIVED_IN", "Porto", "until 2019", invalid_at="2019"),
            ],
        ),
        **MESSAGE,
    )

    assert checked.warnings == []
    assert [(one.name, one.type) for one in checked.entities] == [
        ("Ana Lima", "person"),
        ("Rui Costa", "person"),
        ("Acme", "organization"),
        ("Lisbon", "place"),
    ]
    assert stated(checked) == [
        ("Ana Lima", "WORKS_AT", "Acme", False),
        ("Ana Lima", "LIVES_IN", "Lisbon", False),
        ("Rui Costa", "AGE", "34", True),
        ("Ana Lima", "LIVED_IN", "Porto", True),
    ]
    assert str(checked.facts[1].valid_at) == "2025-05-01 00:00:00+01:00"
    assert str(checked.facts[3].invalid_at) == "2019-01-01 00:00:00+01:00"
    assert Extracted.model_validate_json(checked.model_dump_json()) == checked


def test_nothing_to_remember_is_fine(run_check: Check) -> None:
    assert run_check("Hi there!", answer([], [])) == Extracted()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", FaultKind.EMPTY), ("no json", FaultKind.MALFORMED), ('{"entities": 1}', FaultKind.MALFORMED)],
)
def test_an_answer_that_cannot_be_read_is_unusable(text: str, kind: FaultKind, make_unit: MakeUnit) -> None:
    checked = check(*make_unit(SAID), text)

    assert isinstance(checked, Unusable)
    assert checked.kind is kind


@pytest.mark.parametrize(
    ("claimed", "predicate"),
    [
        ("WORKS_AT", "WORKS_AT"),
        ("works at", "WORKS_AT"),
        ("worksAt", "WORKS_AT"),
        ("Works-At!", "WORKS_AT"),
        ("__works__at__", "WORKS_AT"),
        ("работает в", "РАБОТАЕТ_В"),
    ],
)
def test_predicates_become_upper_snake(claimed: str, predicate: str, run_check: Check) -> None:
    checked = run_check(SAID, answer([ANA, ACME], [{**WORKS, "predicate": claimed}]), **MESSAGE)

    assert checked.facts[0].predicate == predicate


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"evidence": "she quit her job in Berlin"}, WarningCode.EVIDENCE_MISSING),
        ({"evidence": ""}, WarningCode.EVIDENCE_MISSING),
        ({"subject": "Bob Smith"}, WarningCode.FACT_WITHOUT_ENTITY),
        ({"subject": "Acme"}, WarningCode.FACT_ABOUT_ITSELF),
        ({"subject": "acme!", "object": "ACME"}, WarningCode.FACT_ABOUT_ITSELF),
        ({"predicate": "->"}, WarningCode.ITEM_MALFORMED),
        ({"fact": "Ana works and works " + "and she works " * 8}, WarningCode.REPETITION),
        ({"fact": "x" * 1_001}, WarningCode.ITEM_MALFORMED),
    ],
)
def test_a_fact_that_cannot_be_believed_is_left_out_alone(
    changes: dict[str, str], code: WarningCode, run_check: Check
) -> None:
    kept = fact("Rui Costa", "PLAYS", "chess", "Rui plays chess")

    checked = run_check(SAID, answer([ANA, RUI, ACME], [{**WORKS, **changes}, kept]), **MESSAGE)

    assert stated(checked) == [("Rui Costa", "PLAYS", "chess", True)]
    assert codes(checked) == [code]
    assert checked.warnings[0].episode_id == "e1"


def test_an_inexact_quote_is_replaced_by_the_sentence_that_it_came_from(run_check: Check) -> None:
    inexact = {**WORKS, "evidence": "We used to live in Porto till 2019."}

    checked = run_check(SAID, answer([ANA, ACME], [inexact]), **MESSAGE)

    assert checked.facts[0].evidence == "We used to live in Porto until 2019."
    assert codes(checked) == [WarningCode.EVIDENCE_MENDED]


def test_only_so_many_inexact_quotes_are_mended(run_check: Check) -> None:
    inexact = [
        {**WORKS, "predicate": f"P_{number}", "evidence": "We used to live in Porto till 2019."} for number in range(30)
    ]

    checked = run_check(SAID, answer([ANA, ACME], inexact), **MESSAGE)

    assert len(checked.facts) == 20
    assert codes(checked) == [WarningCode.EVIDENCE_MENDED, WarningCode.EVIDENCE_MISSING]


def test_looping_names_and_summaries_are_left_out(run_check: Check) -> None:
    round_and_round = "Acme works " * 10

    checked = run_check(SAID, answer([entity(round_and_round), entity("Acme", summary=round_and_round)], []))

    assert [asdict(one) for one in checked.entities] == [{"name": "Acme", "type": "person", "summary": ""}]
    assert codes(checked) == [WarningCode.REPETITION]


def test_a_long_summary_is_cut_between_words(run_check: Check) -> None:
    summary = " ".join(f"word{number}" for number in range(300))

    cut = run_check(SAID, answer([entity("Acme", summary=summary)], [])).entities[0].summary

    assert len(cut) <= 1_000
    assert cut.endswith("…")
    assert summary.startswith(f"{cut[:-1]} ")


def test_an_answer_of_which_no_quote_occurs_is_unusable(make_unit: MakeUnit) -> None:
    facts = [fact("Ana Lima", predicate, "Acme", "he said so himself") for predicate in ("LIKES", "KNOWS", "LEADS")]

    checked = check(*make_unit(SAID, **MESSAGE), json.dumps(answer([ANA, ACME], facts)))

    assert isinstance(checked, Unusable)
    assert checked.kind is FaultKind.MALFORMED
    assert checked.reason == "none of its evidence quotes occurs in the episode"


def test_a_bare_copy_of_the_example_is_unusable(make_unit: MakeUnit) -> None:
    checked = check(*make_unit(SAID, **MESSAGE), EXAMPLE_OUTPUT)

    assert isinstance(checked, Unusable)
    assert checked.reason == "nothing in it comes from the episode"


def test_a_single_invention_costs_no_second_call(run_check: Check) -> None:
    checked = run_check("Thanks, bye!", answer([entity("Bob Smith")], []))

    assert checked.entities == []
    assert codes(checked) == [WarningCode.ENTITY_INVENTED]


RUSSIAN = "Я живу в Москве с 2019 года и работаю в университете вместе с Анной Петровой."


@pytest.mark.parametrize(
    ("sentence", "language", "changed"),
    [
        ("Anna Petrova works at the university in the city of Moscow.", None, True),
        ("Anna Petrova works at the university in the city of Moscow.", "en", False),
        ("Анна Петрова работает в университете.", None, False),
        ("Anna.", None, False),
    ],
)
def test_an_answer_in_another_script_is_warned_of(
    sentence: str, language: str | None, *, changed: bool, run_check: Check
) -> None:
    stated_fact = fact("Анна Петрова", "WORKS_AT", "университет", "работаю в университете", fact=sentence)

    checked = run_check(RUSSIAN, answer([entity("Анна Петрова")], [stated_fact]), job={"language": language})

    assert (WarningCode.LANGUAGE_CHANGED in codes(checked)) is changed
    assert len(checked.facts) == 1


def test_quotes_of_json_are_checked_like_others(run_check: Check) -> None:
    content = {"customer": {"name": "Ana Lima", "city": "São Paulo"}, "tier": "gold"}

    checked = run_check(
        content,
        answer(
            [ANA], [fact("Ana Lima", "HAS_TIER", "gold", '"tier": "gold"'), fact("Ana Lima", "AGE", "34", "age: 34")]
        ),
        kind="json",
    )

    assert stated(checked) == [("Ana Lima", "HAS_TIER", "gold", True)]
    assert codes(checked) == [WarningCode.EVIDENCE_MISSING]


def test_warnings_never_quote_the_episode(run_check: Check) -> None:
    secret = "the combination of the safe is 4711"
    checked = run_check(
        f"Remember: {secret}.",
        answer(
            [entity("Bob Smith"), entity("safe", "thing", secret)],
            [
                fact("safe", "OPENS_WITH", "4711", secret, valid_at=secret),
                fact("Bob", "KNOWS", secret, "nothing at all"),
            ],
        ),
    )

    assert len(checked.warnings) >= 3
    assert "4711" not in " ".join(warning.detail for warning in checked.warnings)
