"""Jobs whose episodes share prompts, and a model that answers part by part."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from tasks.contract import ExtractionJob, ExtractionResult
from tests.unit.engine.conftest import USAGE, Bench, fault, make_job, reply
from workers.engine.engine import Outcome
from workers.jobs import Ending
from workers.providers.base import Call, Fault, FaultKind, Reply

PEOPLE = ("Ada", "Bea", "Cid", "Dora", "Emil", "Fay", "Gil", "Hal")
PLACES = ("Lisbon", "Porto", "Rome", "Oslo", "Turin", "Ghent", "Lyon", "Bern")
Model = Callable[[Call], Reply | Fault]


def text_of(number: int) -> str:
    return f"{PEOPLE[number]} moved to {PLACES[number]}."


def packed(count: int = 4, **changes: Any) -> ExtractionJob:
    return make_job(*map(text_of, range(count)), **{"pack_tokens": 1_000, **changes})


def numbers_in(call: Call) -> list[int]:
    """Which of the episodes a call is about, in the order of the prompt."""
    said = re.findall(r"<episode-1.*>\n(\w+) moved", call.prompt.user)
    return [PEOPLE.index(name) for name in said]


def part_of(number: int) -> dict[str, Any]:
    person, place = PEOPLE[number], PLACES[number]
    fact = {
        "evidence": text_of(number),
        "subject": person,
        "predicate": "LIVES_IN",
        "object": place,
        "fact": text_of(number),
        "valid_at": "",
        "invalid_at": "",
    }
    entities = [{"name": person, "type": "person", "summary": ""}, {"name": place, "type": "place", "summary": ""}]
    return {"entities": entities, "facts": [fact]}


def answer_to(call: Call, *, without: Iterable[int] = ()) -> str:
    """What a good model says, without its word on some episodes."""
    numbers = numbers_in(call)
    if "episodes" not in call.prompt.schema["properties"]:
        return "{}" if numbers[0] in without else json.dumps(part_of(numbers[0]))
    parts = [
        {"episode": f"e{place}", **part_of(number)}
        for place, number in enumerate(numbers, start=1)
        if number not in without
    ]
    return json.dumps({"episodes": parts})


def good(call: Call) -> Reply:
    return reply(answer_to(call))


def refusing(*bad: int, kind: FaultKind = FaultKind.REFUSED) -> Model:
    """Refuses every prompt with one of these episodes in it."""

    def answer(call: Call) -> Reply | Fault:
        return fault(kind, usage=USAGE) if set(bad) & set(numbers_in(call)) else good(call)

    return answer


def leaving_out(*bad: int) -> Model:
    """Has no usable word on these episodes."""
    return lambda call: reply(answer_to(call, without=bad))


def result_of(outcome: Outcome) -> ExtractionResult:
    assert isinstance(outcome, Ending)
    assert outcome.result is not None
    return outcome.result


def remembered(result: ExtractionResult) -> list[list[tuple[str, str]]]:
    return [[(fact.subject, fact.object) for fact in episode.facts] for episode in result.episodes]


def own(*numbers: int) -> list[list[tuple[str, str]]]:
    return [[(PEOPLE[number], PLACES[number])] for number in numbers]


def asked(bench: Bench) -> list[list[int]]:
    return [numbers_in(call) for call in bench.model.calls]


def tried(result: ExtractionResult) -> list[tuple[str, str, str, int | None]]:
    return [(one.attempt, one.status, one.action, one.packed) for one in result.attempts]
