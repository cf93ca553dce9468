"""Whatever a model answers, `check` comes back with a value that keeps its promises."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contract import ExtractionJob
from workers.extraction import Extracted, Unusable, assemble, check, plan
from workers.extraction.names import name_key
from workers.extraction.schema import SENTENCE_CHARS
from workers.providers.base import FaultKind

TEXTS = (
    "I moved to Lisbon last May, and Rui Costa works at Acme. We lived in Porto until 2019.",
    "先週、リスボンに引っ越しました。ルイは二〇一九年からアクメで働いています。",
    '{"name":"Ana Lima","notes":"line one\\nline two \\u00e9"}',
)
WORDS = (
    *(
        "Ana Lima",
        "Ana",
        "I",
        "she",
        "user",
        "Rui Costa",
        "Rui",
        "Acme",
        "acme!",
        "Lisbon",
        "Porto",
        "Pim Zorn",
        "Nublo",
    ),
    *(
        "",
        " ",
        "34",
        "person",
        "other",
        "robot",
        "WORKS_AT",
        "works at",
        "リスボン",
        "ルイ",
        "I moved to Lisbon",
        "until 2019",
    ),
    *(
        "リスボンに引っ越しました",
        "line one line two",
        "2019",
        "2025-05",
        "2026-02-30",
        "last May",
        "9999-12-31",
        "x" * 300,
    ),
    *("work work work work " * 5, "\ud800", "\x00", "e\u0301\u0301", "\u200d", "...", "Lisbon ... Acme"),
)


def job_of(text: str, *, has_speaker: bool, has_time: bool, language: str | None) -> ExtractionJob:
    episode: dict[str, Any] = {"id": "e1", "content": text, "kind": "message" if has_speaker else "json"}
    if has_speaker:
        episode |= {"speaker": "Ana Lima", "role": "user"}
    if has_time:
        episode["reference_time"] = "2026-03-04T12:30:00+01:00"
    return ExtractionJob.model_validate({"project": "acme", "episodes": [episode], "language": language})


JOBS = st.builds(
    job_of,
    st.sampled_from(TEXTS),
    has_speaker=st.booleans(),
    has_time=st.booleans(),
    language=st.sampled_from([None, "en"]),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner),
    max_leaves=12,
)
FIELD = st.sampled_from(WORDS) | SCALARS | JSON


def items(*fields: str) -> st.SearchStrategy[Any]:
    item = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, FIELD)) | st.fixed_dictionaries(
        dict.fromkeys(fields, st.sampled_from(WORDS))
    )
    return st.lists(item | JSON, max_size=14)


ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "entities": items("name", "type", "summary") | JSON,
        "facts": items("evidence", "subject", "predicate", "object", "fact", "valid_at", "invalid_at") | JSON,
    },
)


def assert_promises(job: ExtractionJob, text: str) -> None:
    (unit,) = plan(job, context_tokens=100_000, max_output=8_000)
    checked = check(unit, job, text)
    assert checked == check(unit, job, text), "the same answer is always judged the same"
    if isinstance(checked, Unusable):
        assert checked.kind in {FaultKind.MALFORMED, FaultKind.EMPTY}
        assert 0 < len(checked.reason) < 80
        return
    assert Extracted.model_validate_json(checked.model_dump_json()) == checked
    names = {entity.name for entity in checked.entities}
    keys = [(name_key(entity.name), entity.type) for entity in checked.entities]
    assert len(set(keys)) == len(keys)
    for fact in checked.facts:
        assert fact.evidence in unit.text
        assert 0 < len(fact.evidence) <= SENTENCE_CHARS
        assert fact.subject in names
        assert fact.object_is_literal or fact.object in names
        assert not (fact.valid_at and fact.invalid_at and fact.invalid_at < fact.valid_at)
    ((result,), _) = assemble(job, [unit], {1: checked}, {})
    assert len({entity.id for entity in result.entities}) == len(result.entities)
    assert len({fact.id for fact in result.facts}) == len(result.facts) == len(checked.facts)
    assert result.model_dump_json()


@settings(deadline=None)
@given(job=JOBS, answer=ANSWERS)
def test_any_json_of_about_the_right_shape_is_survived(job: ExtractionJob, answer: Any) -> None:
    assert_promises(job, json.dumps(answer))


@settings(deadline=None)
@given(job=JOBS, answer=JSON)
def test_any_json_is_survived(job: ExtractionJob, answer: Any) -> None:
    assert_promises(job, json.dumps(answer))


@settings(deadline=None)
@given(job=JOBS, text=st.text(max_size=200) | st.text(alphabet='{}[]",:entifacs\\u0d8 ', max_size=80))
def test_any_text_is_survived(job: ExtractionJob, text: str) -> None:
    assert_promises(job, text)
