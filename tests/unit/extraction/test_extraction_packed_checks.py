"""What is believed of an answer about several episodes: each part by its own episode, and never another's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contract import ExtractionJob
from tests.unit.extraction.answers import codes, entity, fact, stated
from workers.extraction import Extracted, Pack, Unusable, check, check_pack, pack, plan
from workers.providers.base import FaultKind

LIMITS = {"context_tokens": 1_000_000, "max_output": 64_000}
PEOPLE = ("Ada", "Bea", "Cid", "Dora", "Emil", "Fay")
PLACES = ("Lisbon", "Porto", "Rome", "Oslo", "Turin", "Ghent")
COUNT = 3


def text_of(number: int) -> str:
    return f"{PEOPLE[number]} moved to {PLACES[number]}."


def part_of(number: int) -> dict[str, Any]:
    """What a good model says of an episode."""
    person, place = PEOPLE[number], PLACES[number]
    return {
        "entities": [entity(person), entity(place, "place")],
        "facts": [fact(person, "LIVES_IN", place, text_of(number))],
    }


def asked(count: int = COUNT, **job: Any) -> tuple[Pack, ExtractionJob]:
    episodes = [{"id": f"x{number}", "content": text_of(number)} for number in range(count)]
    parsed = ExtractionJob.model_validate({"project": "acme", "pack_tokens": 1_000, "episodes": episodes, **job})
    (one,) = pack(parsed, plan(parsed, **LIMITS), done=(), split=(), **LIMITS)
    return one, parsed


def answer_of(parts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    return json.dumps({"episodes": [{"episode": key, **part} for key, part in parts]})


GOOD = [(f"e{number + 1}", part_of(number)) for number in range(COUNT)]


def judge(text: str, count: int = COUNT, **job: Any) -> list[Extracted | Unusable]:
    one, parsed = asked(count, **job)
    judged = check_pack(one, parsed, text)
    assert list(judged) == [unit.index for unit in one.units]
    return list(judged.values())


def usable(judged: Sequence[Extracted | Unusable]) -> list[bool]:
    return [isinstance(one, Extracted) for one in judged]


def test_each_episode_gets_its_own_memories_as_if_it_had_come_alone() -> None:
    one, job = asked()
    alone = {unit.index: check(unit, job, json.dumps(part_of(unit.index - 1))) for unit in one.units}

    assert check_pack(one, job, answer_of(GOOD)) == alone
    assert [stated(each) for each in alone.values() if isinstance(each, Extracted)] == [
        [(PEOPLE[number], "LIVES_IN", PLACES[number], False)] for number in range(COUNT)
    ]


def test_the_order_of_the_parts_does_not_count() -> None:
    assert judge(answer_of(GOOD[::-1])) == judge(answer_of(GOOD))


def test_empty_lists_are_a_good_answer() -> None:
    empty: dict[str, Any] = {"entities": [], "facts": []}

    assert judge(answer_of([GOOD[0], ("e2", empty), GOOD[2]]))[1] == Extracted()


@pytest.mark.parametrize(
    ("parts", "good"),
    [
        pytest.param([GOOD[0], GOOD[2]], [True, False, True], id="missing"),
        pytest.param([*GOOD, GOOD[1]], [True, False, True], id="twice"),
        pytest.param([*GOOD, ("e4", part_of(0)), ("", {}), ("x0", {})], [True, True, True], id="unknown"),
        pytest.param([GOOD[0], (" E2 ", GOOD[1][1]), GOOD[2]], [True, True, True], id="spelling"),
        pytest.param([GOOD[0], ("e2", {"entities": "none"}), GOOD[2]], [True, False, True], id="malformed"),
        pytest.param([GOOD[0], ("e2", {}), GOOD[2]], [True, False, True], id="no lists"),
        pytest.param([GOOD[0], ("e2", part_of(2)), GOOD[2]], [True, False, True], id="another's"),
        pytest.param([GOOD[0], ("e2", part_of(2)), ("e3", part_of(1))], [True, False, False], id="mixed up"),
        pytest.param([], [False, False, False], id="none"),
    ],
)
def test_only_the_episodes_whose_part_is_spoiled_are_without_memories(
    parts: list[tuple[str, Mapping[str, Any]]], good: list[bool]
) -> None:
    judged = judge(answer_of(parts))

    assert usable(judged) == good
    whole = judge(answer_of(GOOD))
    assert all(one == other for one, other in zip(judged, whole, strict=True) if isinstance(one, Extracted))
    assert {one.kind for one in judged if isinstance(one, Unusable)} <= {FaultKind.MALFORMED}


def test_parts_that_are_no_objects_are_passed_over() -> None:
    document = json.loads(answer_of(GOOD))
    document["episodes"][1:1] = [None, 3, "e2", ["e2"], {"episode": 2}, {"episode": None}]

    assert usable(judge(json.dumps(document))) == [True, True, True]


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '{"episodes":null}', '{"episodes":{"e1":{}}}', '{"episodes":[', '{"episodes":[{', "I cannot.",
     '{"entities":[],"facts":[]}', "[" * 10_000, '{"episodes":[{"episode":"e1","entities":' + "[" * 10_000],
)  # fmt: skip
def test_an_answer_without_parts_is_without_memories(text: str) -> None:
    assert usable(judge(text)) == [False, False, False]


@pytest.mark.parametrize("around", ["```json\n{}\n```", "Here you are: {}", "\ufeff{} \n"])
def test_what_stands_around_the_answer_does_not_count(around: str) -> None:
    assert usable(judge(around.replace("{}", answer_of(GOOD)))) == [True, True, True]


def test_a_list_without_its_object_is_taken_for_it() -> None:
    assert usable(judge(json.dumps(json.loads(answer_of(GOOD))["episodes"]))) == [True, True, True]


@pytest.mark.parametrize("cut", range(0, len(answer_of(GOOD)), 7))
def test_of_an_answer_that_breaks_off_the_whole_parts_count(cut: int) -> None:
    text = answer_of(GOOD)
    ends = [text.index(f'"e{number}"') for number in (2, 3)] + [len(text)]

    judged = judge(text[:cut])

    # A part is whole as soon as its brace is closed, a few characters before the next one's key.
    sure = [cut >= end for end in ends]
    assert [one or not other for one, other in zip(usable(judged), sure, strict=True)] == [True] * COUNT
    whole = judge(text)
    assert all(one == other for one, other in zip(judged, whole, strict=True) if isinstance(one, Extracted))


def test_a_fact_whose_quote_is_in_another_episode_is_left_out_with_a_warning() -> None:
    mixed = {"entities": [*part_of(1)["entities"]], "facts": [*part_of(1)["facts"], *part_of(0)["facts"]]}

    judged = judge(answer_of([GOOD[0], ("e2", mixed), GOOD[2]]))

    assert isinstance(judged[1], Extracted)
    assert stated(judged[1]) == [("Bea", "LIVES_IN", "Porto", False)]
    assert codes(judged[1]) == ["other_episode"]


def test_entities_of_another_episode_are_left_out() -> None:
    mixed = part_of(1) | {"entities": [*part_of(1)["entities"], entity("Ada"), entity("Rome", "place")]}

    judged = judge(answer_of([GOOD[0], ("e2", mixed), GOOD[2]]))

    assert isinstance(judged[1], Extracted)
    assert [one.name for one in judged[1].entities] == ["Bea", "Porto"]
    assert codes(judged[1]) == ["entity_invented"]


@pytest.mark.parametrize("language", [None, "fr"])
@pytest.mark.parametrize("target", ["Rome", "Cid"])
def test_an_own_quote_does_not_let_anothers_name_in(language: str | None, target: str) -> None:
    mixed = {
        "entities": [entity("Bea"), entity(target, "place")],
        "facts": [fact("Bea", "LIVES_IN", target, text_of(1)), *part_of(1)["facts"]],
    }

    judged = judge(answer_of([GOOD[0], ("e2", mixed), GOOD[2]]), language=language)

    assert isinstance(judged[1], Extracted)
    assert target not in judged[1].model_dump_json(exclude={"warnings"})
    assert "other_episode" in codes(judged[1])


def test_a_number_may_be_in_two_episodes() -> None:
    episodes = [{"id": "a", "content": "Ada is thirty-four."}, {"id": "b", "content": "Bea has 34 hens."}]
    one, job = asked(2, episodes=episodes)
    said = {"entities": [entity("Ada")], "facts": [fact("Ada", "AGE", 34, "Ada is thirty-four")]}

    first, _ = check_pack(one, job, answer_of([("e1", said), ("e2", {"entities": [], "facts": []})])).values()

    assert isinstance(first, Extracted)
    assert stated(first) == [("Ada", "AGE", "34", True)]


@pytest.mark.parametrize("name", ["Zoe", "Ada"])
def test_context_explains_all_episodes(name: str) -> None:
    context = [{"id": "c", "content": f"{name} and Bea are sisters."}]
    said = part_of(1) | {"facts": [*part_of(1)["facts"], fact("Bea", "SISTER_OF", name, text_of(1))]}
    said["entities"] = [*said["entities"], entity(name)]

    judged = judge(answer_of([GOOD[0], ("e2", said), GOOD[2]]), context=context)

    assert isinstance(judged[1], Extracted)
    assert ("Bea", "SISTER_OF", name, False) in stated(judged[1])


HOWS = ("good", "missing", "twice", "malformed", "another", "empty", "leaky", "misspelt")


def spoiled(number: int, how: str, count: int) -> list[tuple[str, Any]]:
    key, own, another = f"e{number + 1}", part_of(number), part_of((number + 1) % count)
    parts: dict[str, list[tuple[str, Any]]] = {
        "good": [(key, own)],
        "missing": [],
        "twice": [(key, own), (key, another)],
        "malformed": [(key, {"entities": 3, "facts": None})],
        "another": [(key, another)],
        "empty": [(key, {"entities": [], "facts": []})],
        "leaky": [(key, {name: [*another[name], *own[name]] for name in own})],
        "misspelt": [(f"x{key}", own)],
    }
    return parts[how]


@settings(deadline=None)
@given(
    hows=st.lists(st.sampled_from(HOWS), min_size=2, max_size=len(PEOPLE)),
    data=st.data(),
)
def test_whatever_is_spoiled_every_episode_gets_its_own_memories_or_none(hows: list[str], data: st.DataObject) -> None:
    count = len(hows)
    parts = [part for number, how in enumerate(hows) for part in spoiled(number, how, count)]
    text = answer_of(data.draw(st.permutations(parts)))
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]

    judged = judge(text, count)

    for number, one in enumerate(judged):
        if isinstance(one, Unusable):
            continue
        names = {each.name for each in one.entities}
        assert names <= {PEOPLE[number], PLACES[number]}
        assert all(each.evidence == text_of(number) for each in one.facts)
    if text.endswith("]}"):
        assert [isinstance(one, Extracted) for one in judged] == [how in {"good", "empty", "leaky"} for how in hows]


@settings(deadline=None)
@given(text=st.text(max_size=120) | st.text(alphabet='{}[]",:episode1 23', max_size=80).map('{"episodes":['.__add__))
def test_any_text_is_survived(text: str) -> None:
    assert all(isinstance(one, Extracted | Unusable) for one in judge(text))
